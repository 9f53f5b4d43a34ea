"""What a notebook holds while it runs: its parameters in, its record out."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from tqdm import tqdm

from edgebook import notebooks
from edgebook.ledger import shown
from edgebook.ledger.claims import Ledger, load_ledger
from edgebook.ledger.drawn import keep_drawn
from edgebook.ledger.evidence import Sample
from edgebook.ledger.record import Measured, Record, full_record, hardware, save_measured, save_record, versions
from edgebook.ledger.results import judge_all
from edgebook.ledger.shown import Shown
from edgebook.notebooks import sources
from edgebook.notebooks.by_hand import changed_parameters, is_by_hand, record_path, require_tier
from edgebook.notebooks.files import write_whole
from edgebook.notebooks.paths import project_root, revision

_Reached = dict[str, dict[str, list[float]]]  # by arm and measure, a value for each seed
_NUMBERS = re.compile(r"\d+(\.\d+)?( +\d+(\.\d+)?)*")


class Run:
    """One execution of a paper's notebook; made by `start` in the notebook's second code cell."""

    def __init__(self, notebook: str, parameters: dict[str, Any], root: Path, own: Path | None = None) -> None:
        self.notebook = notebook
        self.parameters = parameters
        self.tier: str = parameters["tier"]
        self.changed = changed_parameters(notebook, parameters)
        self._own_path = own  # where the record of a notebook goes that the runner did not start
        self.ledger: Ledger = load_ledger(notebook, root)
        self._root = root
        path = root / "notebooks" / f"{notebook}.ipynb"
        self._fingerprint = sources.fingerprint(path)
        self._reached_by = cache(lambda name: sources.function_fingerprint(path, name))
        self._started = datetime.now(UTC).isoformat(timespec="seconds")
        self._clock = time.perf_counter()
        self._seconds_before = 0.0
        self._measured: Measured | None = None
        self._judged: Shown | None = None

    @property
    def seeds(self) -> list[int]:
        """The seeds of this run, from ``first_seed`` on."""
        first = int(self.parameters.get("first_seed", 0))
        return list(range(first, first + int(self.parameters["seeds"])))

    def at_least(self, **bounds: float) -> None:
        """Check parameters against their smallest values; a `ValueError` names the first that lies below its own."""
        for name, bound in bounds.items():
            if self.parameters[name] < bound:
                raise ValueError(f"{name} must be at least {bound}, got {self.parameters[name]}.")

    def cached(self, function: Callable[..., Any], **arguments: Any) -> Any:
        """Return ``function(**arguments)``, from disk where an interrupted run has computed it already.

        Results and arguments must be JSON; results always pass through JSON, so that a resumed run sees
        just what a fresh one sees. Nothing is kept unless ``EDGEBOOK_RESUME`` names a folder; the key holds
        the fingerprint of all code that the function reaches and all parameters but the seeds, so a changed
        constant is computed anew, and a further seed or another figure is not.
        """
        folder = os.environ.get("EDGEBOOK_RESUME")
        if not folder:
            return json.loads(json.dumps(function(**arguments)))
        fixed = {name: value for name, value in self.parameters.items() if name not in ("seeds", "first_seed")}
        name = function.__name__
        key = json.dumps([self._reached_by(name), fixed, name, arguments], sort_keys=True)
        path = Path(folder) / self.notebook / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"
        if path.is_file():
            kept = json.loads(path.read_text(encoding="utf-8"))
            self._seconds_before += kept["seconds"]  # a resumed run costs what it cost in all
            return kept["result"]
        clock = time.perf_counter()
        text = json.dumps({"result": function(**arguments), "seconds": time.perf_counter() - clock})
        write_whole(path, text)
        return json.loads(text)["result"]

    def over_seeds(
        self, parts: Callable[..., Any] | Mapping[str, Callable[..., Any]], *, cached: bool = True, **arguments: Any
    ) -> list[Any]:
        """Return what an experiment gives for every seed, as ``part(seed=seed, **arguments)``, with a progress bar.

        Results are kept as `cached` keeps them, but for ``cached=False``, where the function itself hands its parts
        to `cached`. A mapping of names to parts gives a dictionary for each seed, whose parts are kept one by one.
        """
        call = self.cached if cached else lambda function, **given: function(**given)
        if callable(parts):
            return [call(parts, seed=seed, **arguments) for seed in tqdm(self.seeds, desc="seeds")]
        units = [(seed, name) for seed in self.seeds for name in parts]
        bar = tqdm(units, desc="parts of seeds")
        done = {(seed, name): call(parts[name], seed=seed, **arguments) for seed, name in bar}
        return [{name: done[seed, name] for name in parts} for seed in self.seeds]

    def judge(
        self,
        measured: Mapping[str, Callable[[Any], Sample]],
        results: Sequence[Any],
        *,
        scale: str,
        exact: Mapping[str, float] | None = None,
        arms: Callable[[Any], Mapping[str, Mapping[str, float]]] | None = None,
        under: Mapping[str, Sequence[Any]] | None = None,
        placebo: Sequence[Any] | None = None,
    ) -> Record:
        """Judge every claim from what each of `seeds` gave, in their order, and return the record, not yet written.

        Parameters
        ----------
        measured : mapping
            For each claim's id what maps one seed's result to the sample of the claim.
        results : sequence
            What each seed gave.
        scale : str
            Data and size in a few words.
        exact : mapping, optional
            Numbers that are the same for every seed, for the identities that declare one.
        arms : callable, optional
            Maps one seed's result to ``{arm: {measure: value}}``: what each arm reached, for the ledger's floor and for
            the file of what was measured, which then lies beside the record and holds all results too. Where a choice
            names a claim that asks whether arms have learnt, it maps the results under that choice as well, and may
            leave out arms that were not run there.
        under : mapping, optional
            For each choice that the ledger declares what each seed gave under it, for the claims that it names; a
            result may hold the arms of these claims alone.
        placebo : sequence, optional
            What each seed gave with a method that is known to do nothing in the place of the paper's, for the headline
            claims. A claim that nothing is lost should fail for it.

        Raises
        ------
        ValueError
            Results are not one for each seed, something that the ledger asks for is missing or is not in it, samples
            are not as declared, or with ``arms`` results are not JSON.
        """
        under = under or {}
        given = {f"'{name}'": of for name, of in under.items()}
        given |= {"the run": results, "the placebo": placebo or results}
        for what, of in given.items():
            if len(of) != len(self.seeds):
                raise ValueError(f"Results of {what} are one for each of {len(self.seeds)} seeds, got {len(of)}.")
        floor = self.ledger.floor
        choices = {choice.name: choice.claims for choice in self.ledger.choices}
        asked = [name for name, ids in choices.items() if any(self.ledger.claim(one).learnt for one in ids)]
        reached = _by_arm([*map(arms, results)]) if arms else {}
        reached_under = {name: _by_arm([*map(arms, under[name])]) for name in asked if arms and name in under}

        def samples(of: Sequence[Any], claims: Iterable[str]) -> dict[str, list[Sample]]:
            return {claim: [measured[claim](one) for one in of] for claim in claims if claim in measured}

        def levels(of: _Reached) -> dict[str, list[float]]:
            return {arm: found[floor.measure] for arm, found in of.items() if floor and floor.measure in found}

        counts = {claim: [float(value)] for claim, value in (exact or {}).items()}
        headlines = [claim.id for claim in self.ledger.headlines]
        found = judge_all(
            self.ledger,
            samples(results, measured) | counts,
            self.tier,
            under={name: samples(of, choices.get(name, ())) for name, of in under.items()},
            placebo=samples(placebo, headlines) if placebo is not None else {},
            levels=levels(reached),
            levels_under={name: levels(of) for name, of in reached_under.items()},
        )
        if arms:
            self._measured = Measured(
                started=self._started, seeds=self.seeds, arms=reached, arms_under=reached_under,
                results=results, under=under, placebo=placebo or (),
            )  # fmt: skip
        commit, dirty = revision(self._root)
        record = Record(
            notebook=self.notebook, title=self.ledger.title, tier=self.tier, scale=scale,
            parameters=self.parameters, seeds=tuple(self.seeds), results=found, floor=floor,
            commit=commit, dirty=dirty, fingerprint=self._fingerprint, changed=self.changed,
            versions=versions(), hardware=hardware(),
            seconds=round(self._seconds_before + time.perf_counter() - self._clock, 1), started=self._started,
        )  # fmt: skip
        self._judged = shown.shown(record, results, under, placebo or ())
        return record

    def shown(self, results: Sequence[Any]) -> Shown:
        """Return what the page shows from here on, after `judge`: the recorded run, or this one with its ``results``.

        It is the committed run at tier full as long as this run's parameters are those that the notebook itself has,
        the record is not stale, and what it measured lies beside it. Figures that are shown from now on carry the
        numbers that they draw. A `ValueError` where nothing has been judged yet.
        """
        if self._judged is None:
            raise ValueError("What a page shows is asked for after run.judge(...).")
        declared = notebooks.parameters(self._root / "notebooks" / f"{self.notebook}.ipynb").values()
        usual = self.parameters == {parameter.name: parameter.default for parameter in declared}
        found = shown.recorded(self.notebook, self._root) if usual else None
        found = found or self._judged._replace(results=list(results))
        keep_drawn(found)
        return found

    def recorded(self) -> Record | None:
        """Return the committed run at tier full, or None where there is none yet."""
        return full_record(self.notebook, self._root)

    def finish(self, record: Record, told: Mapping[str, str]) -> None:
        """Save the record, after a look at whether the recorded verdicts are still those that the prose speaks of.

        ``told`` has the verdicts on which sentences of the page rest, as in ``{"reproduced": "RD-4 RD-4a"}``. Where
        the recorded run says something else by now, an `AssertionError` names the claim and both verdicts; an id
        that the ledger does not have is a `ValueError`.
        """
        full = self.recorded()
        verdicts = {result.claim.id: str(result.verdict) for result in full.results} if full else {}
        for verdict, claims in told.items():
            for claim in claims.split():
                self.ledger.claim(claim)
                found = verdicts.get(claim, verdict)
                assert found == verdict, f"The prose says that {claim} is '{verdict}', the recorded run '{found}'."
        path = self.save(record)
        if path == self._own_path:
            print(f"The record of this run, {record.label}, is {path}.")

    def save(self, record: Record) -> Path:
        """Write the record, and beside it what was measured; return its path.

        It goes to ``EDGEBOOK_OUT``, which the runner sets. Without it a notebook's goes beside the output of papermill,
        or where that is not known into a folder of its own under ``_build/runs``, and any other to
        ``_build/runs/<tier>``.
        """
        folder = os.environ.get("EDGEBOOK_OUT")
        path = Path(folder or self._root / "_build" / "runs" / self.tier) / f"{record.notebook}.json"
        path = path if folder else self._own_path or path
        if self._measured is not None:  # before the record, which without it would be half
            save_measured(self._measured, path)
        return save_record(record, path.parent, path.stem)


def _by_arm(found: Sequence[Mapping[str, Mapping[str, float]]]) -> _Reached:
    """Turn what each seed has of each arm into lists over seeds."""
    return {
        arm: {measure: [float(one[arm][measure]) for one in found] for measure in measures}
        for arm, measures in (found[0] if found else {}).items()
    }


def start(notebook: str, namespace: Mapping[str, Any]) -> Run:
    """Begin the run of a notebook with the values that its parameters have now, in its ``globals()``.

    A `ValueError` where a parameter has a value of the wrong type, the tier is unknown, a text that stands for
    numbers holds something else, a batch has no image, or a notebook that is executed without the runner names another
    tier than book and does not have its parameters.
    """
    root = project_root()
    declared = notebooks.parameters(root / "notebooks" / f"{notebook}.ipynb")
    parameters = {name: notebooks.coerce(known, namespace[name]) for name, known in declared.items()}
    if parameters["tier"] not in notebooks.TIERS:
        raise ValueError(f"tier must be one of {', '.join(notebooks.TIERS)}, got {parameters['tier']!r}.")
    for name, value in parameters.items():
        default = declared[name].default
        if isinstance(value, str) and _NUMBERS.fullmatch(str(default)) and not _NUMBERS.fullmatch(value):
            raise ValueError(f"{name} must be numbers separated by spaces, such as {default!r}, got {value!r}.")
    if parameters.get("batch_size", 1) < 1:
        raise ValueError(f"batch_size must be at least 1, got {parameters['batch_size']}.")
    if not is_by_hand(namespace):
        return Run(notebook, parameters, root)
    run = Run(notebook, parameters, root, record_path(notebook, namespace))
    require_tier(notebook, run.tier, run.changed)
    return run


def save_metrics(notebook: str, metrics: Mapping[str, float | Sequence[float]]) -> Path:
    """Write ``<notebook>.metrics.json`` into ``EDGEBOOK_OUT`` or else ``_build/runs``; nothing in it is judged.

    A metric is a number, or one number per seed; one without a value, or with one that is not finite, is a
    `ValueError`.
    """
    found = {name: [float(value) for value in _listed(given)] for name, given in metrics.items()}
    for name, values in found.items():
        if not values or not all(map(math.isfinite, values)):
            raise ValueError(f"The metric '{name}' must have finite values, got {values}.")
    folder = Path(os.environ.get("EDGEBOOK_OUT") or project_root() / "_build" / "runs")
    return write_whole(folder / f"{notebook}.metrics.json", json.dumps(found))


def _listed(given: float | Sequence[float]) -> Sequence[float]:
    return given if isinstance(given, Sequence) else [given]
