"""What a page shows: the recorded run where it speaks for the page, else the run at hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
import yaml
from IPython.core.formatters import DisplayFormatter

from edgebook.ledger import start
from edgebook.ledger.drawn import keep_drawn
from edgebook.ledger.run import Run
from edgebook.ledger.shown import Shown

CELL = (
    'tier: str = "book"  # scale\nseeds: int = 2  # repetitions\nfirst_seed: int = 0  # the first of them\n'
    "size: int = 8  # of what is measured\n"
)
CLAIM = {"id": "T-1", "says": "More.", "where": "table 1", "measures": "a - b", "unit": "points",
         "expects": "positive", "margin": 1.0, "headline": True}  # fmt: skip
SHARE = CLAIM | {"id": "T-2", "unit": "%", "samples": "share", "neutral": 50.0, "headline": False}
FULL = {"tier": "full", "seeds": 5, "first_seed": 2000, "size": 16}
BOOK = {"tier": "book", "seeds": 2, "first_seed": 0, "size": 8}


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict], Run]:
    """Begin runs of a toy whose page has two seeds of size 8, and whose tier full has five of size 16."""
    for folder in ("book/claims", "notebooks", "src/edgebook", "results/full"):
        (tmp_path / folder).mkdir(parents=True)
    cell = nbformat.v4.new_code_cell(CELL, metadata={"tags": ["parameters"]}, id="p")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "notebooks/toy.ipynb")
    tiers = {"toy": {"full": {name: value for name, value in FULL.items() if name != "tier"}}}
    (tmp_path / "notebooks/tiers.yml").write_text(yaml.safe_dump(tiers))
    ledger = {"title": "Toys", "cite": "toy2020", "statements": [{"says": "It is more.", "tested_by": ["T-1"]}],
              "claims": [CLAIM, SHARE], "choices": [{"name": "gain", "says": "Four.", "claims": ["T-1"]}]}  # fmt: skip
    (tmp_path / "book/claims/toy.yml").write_text(yaml.safe_dump(ledger))
    monkeypatch.setenv("EDGEBOOK_ROOT", str(tmp_path))
    monkeypatch.setenv("EDGEBOOK_OUT", str(tmp_path / "results/full"))
    monkeypatch.delenv("EDGEBOOK_RESUME", raising=False)
    return lambda parameters: start("toy", parameters)


def results_of(run: Run, by: float) -> list[dict]:
    return [{"a": by + 0.1 * seed, "b": 1.0, "hits": [30 + index, 40]} for index, seed in enumerate(run.seeds)]


def judged(run: Run, by: float = 3.0) -> list[dict]:
    """Judge a run; its results differ from those of other runs by ``by``."""
    results, under, placebo = (results_of(run, by + more) for more in (0, 10, 20))
    samples = {"T-1": lambda r: r["a"] - r["b"], "T-2": lambda r: tuple(r["hits"])}
    run.record = run.judge(
        samples, results, scale=f"toys of {run.parameters['size']}", under={"gain": under}, placebo=placebo,
        arms=lambda r: {"a": {"level": r["a"]}},
    )  # fmt: skip
    return results


@pytest.fixture
def recorded(begun: Callable[[dict], Run]) -> list[dict]:
    """Record the toy at tier full, and return what was measured."""
    run = begun(FULL)
    results = judged(run, 5.0)
    run.save(run.record)
    return results


def test_the_recorded_run_is_shown_where_the_parameters_are_those_of_the_page(begun, recorded: list[dict]) -> None:
    run = begun(BOOK)
    shown = run.shown(judged(run))
    assert shown.recorded
    assert shown.results == recorded
    assert shown.seeds == [2000, 2001, 2002, 2003, 2004]
    assert (shown.parameters.size, shown.parameters.tier) == (16, "full")
    assert shown.under == {"gain": results_of(begun(FULL), 15.0)}
    assert shown.placebo == results_of(begun(FULL), 25.0)
    assert shown.caption == repr(shown) == "Recorded run: toys of 16, 5 seeds."


@pytest.mark.parametrize("changed", [{"size": 9}, {"seeds": 1}, {"first_seed": 1}, {"tier": "quick"}, FULL])
def test_with_any_other_parameter_the_run_at_hand_is_shown(begun, recorded: list[dict], changed: dict) -> None:
    run = begun(BOOK | changed)
    own = judged(run)
    shown = run.shown(own)
    assert not shown.recorded
    assert (shown.results, shown.seeds, shown.record) == (own, run.seeds, run.record)
    assert vars(shown.parameters) == run.parameters
    assert shown.under == {"gain": results_of(run, 13.0)}
    assert shown.placebo == results_of(run, 23.0)
    count = len(run.seeds)
    assert shown.caption == f"This run: toys of {run.parameters['size']}, {count} seed{'s' if count > 1 else ''}."


def stale(root: Path) -> None:
    path = root / "book/claims/toy.yml"
    path.write_text(path.read_text().replace("More.", "Much more."))


def without_measurements(root: Path) -> None:
    (root / "results/full/toy.measured.json").unlink()


def measured_by_another_run(root: Path) -> None:
    path = root / "results/full/toy.measured.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"started": "another day"}))


def without_record(root: Path) -> None:
    (root / "results/full/toy.json").unlink()


@pytest.mark.parametrize("happened", [stale, without_measurements, measured_by_another_run, without_record])
def test_a_record_that_does_not_speak_for_the_page_is_not_shown(begun, recorded, tmp_path: Path, happened) -> None:
    happened(tmp_path)
    run = begun(BOOK)
    own = judged(run)
    shown = run.shown(own)
    assert (shown.recorded, shown.results, shown.record) == (False, own, run.record)


def test_nothing_is_shown_before_it_is_judged(begun) -> None:
    with pytest.raises(ValueError, match=r"after run\.judge"):
        begun(BOOK).shown([])


def test_rows_of_a_figure_are_the_samples_of_the_record(begun, recorded: list[dict]) -> None:
    run = begun(BOOK)
    shown = run.shown(judged(run))
    rows = shown.rows({"T-2": "hits", "T-1": "a minus b"})
    assert list(rows) == ["T-2  hits", "T-1  a minus b"]
    assert rows["T-1  a minus b"] == [one["a"] - one["b"] for one in recorded]
    assert rows["T-2  hits"] == [75.0, 77.5, 80.0, 82.5, 85.0]
    with pytest.raises(ValueError, match="no claim 'T-9'"):
        shown.rows({"T-9": "nothing"})


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> DisplayFormatter:
    """A notebook that draws its figures as SVG."""
    import IPython
    from matplotlib.figure import Figure

    formatter = DisplayFormatter()
    formatter.formatters["image/svg+xml"].for_type(Figure, lambda figure: "<svg/>")
    monkeypatch.setattr(IPython, "get_ipython", lambda: type("Shell", (), {"display_formatter": formatter}))
    return formatter


def test_a_figure_carries_its_numbers_and_the_run_that_they_are_of(begun, recorded, shell: DisplayFormatter) -> None:
    from matplotlib.figure import Figure

    run = begun(BOOK)
    shown: Shown = run.shown(judged(run))
    keep_drawn(shown)  # a cell that is executed again
    figure = Figure()
    left, right = figure.subplots(1, 2)
    left.set_yticks([0, 1], ["T-1  first", "second"])
    left.plot([2.5, 3.25], [0.22, 0.22], "o")
    left.plot([1.0, 2.0], [0.0, 1.0])
    right.scatter([1.0, float("nan")], [4.0, 5.0])
    pictures, about = shell.format(figure, include=["image/svg+xml"])
    assert pictures == {"image/svg+xml": "<svg/>"}
    kept = json.loads(json.dumps(about["image/svg+xml"]["edgebook"], allow_nan=False))
    assert (kept["started"], kept["recorded"]) == (shown.record.started, True)
    assert kept["axes"][0][:2] == [
        {"row": "T-1  first", "x": [2.5, 3.25], "y": [0.22, 0.22]}, {"row": "", "x": [1.0, 2.0], "y": [0.0, 1.0]},
    ]  # fmt: skip
    assert kept["axes"][1] == [{"row": "", "x": [1.0, None], "y": [4.0, None]}]
