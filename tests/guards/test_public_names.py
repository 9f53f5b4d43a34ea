"""What the package offers has a user, its examples run, and its options are set by somebody."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from edgebook.notebooks.files import parse_python

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "edgebook"
# Who counts as a user of a public name.
USERS = ("notebooks", "book", "README.md", "CONTRIBUTING.md", "federation", "benchmarks")
FENCE = re.compile(r"^```(?:python|\{code-block\} python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NEEDS = {"edgebook.spiking.leaky": "snntorch"}  # what the examples of a module import besides

# Rooms that serve notebooks, pages and the command line: the rest of the package uses them too, and their options
# are words of a command or fields of a file.
PLUMBING = {"ledger", "notebooks"}

# Options that nobody sets and that stay, by the reason why.
ALLOWED: dict[str, set[str]] = {
    "conventions by which papers and libraries differ are the point of a neuron": {
        "spiking.lif(detach_reset)", "spiking.lif(delay)", "spiking.LeakyLoop(gain)",
        "spiking.LIF(relative)", "spiking.LIF(strict)", "spiking.integrate(beta)",
        "spiking.lif_step(reset)", "spiking.lif_step(relative)",
        "spiking.lif_step(strict)", "spiking.lif_step(detach_reset)", "spiking.lif_step(delay)",
    },
    "both builders of spiking networks take the same options, so that one can replace the other": {
        "spiking.spiking_resnet(linear_bias)", "spiking.spiking_resnet(xavier_gain)",
    },
    "how a result is computed, and not which result": {
        "crossbar.effective_conductance(backend)", "spiking.lif(backend)", "spiking.integrate(backend)",
        "spiking.lif_step(backend)",
        "spiking.empirical_fisher(method)", "spiking.true_fisher(method)",
    },
    "how much is drawn at random": {"spiking.true_fisher(draws)"},
    "which of two parts is drawn, which a notebook hands on by another name": {
        "data.entailment(part)", "data.records(part)",
    },
    "what is drawn at random": {
        "federated.dirichlet(seed)", "federated.shards(seed)", "networks.CharacterDecoder(seed)",
    },
    "what another chip than the paper's is made of": {
        "crossbar.Layout(cell_bits)",
    },
    "wanted by papers to come: other federations": {
        "federated.RoundPlan(evaluated)", "federated.dirichlet(at_least)",
    },
    "a strategy of a notebook hands them on to its parent": {
        "federated.FedStep(anew)", "federated.FedStep(beta_1)", "federated.FedStep(beta_2)", "federated.FedStep(tau)",
    },
    "by what the papers of server optimisation and of tailoring differ from their code": {
        "federated.server_step(beta_1)", "federated.server_step(beta_2)", "federated.teacher_loss(detached)",
    },
    "by what conversions and attacks of other papers differ": {
        "spiking.balance_thresholds(scale)", "spiking.dirichlet_targets(floor)", "spiking.class_images(blur_every)",
        "spiking.class_images(decay)",
    },
    "other sizes and rates of the parts of a loop": {
        "autonomy.Completer(depth)", "autonomy.Completer(channels)", "autonomy.changed_tiles(tile)",
        "autonomy.clusters(gap)", "autonomy.clusters(least)", "autonomy.Koopman(controls)", "autonomy.Koopman(stable)",
        "autonomy.ScanVAE(latent)", "autonomy.ScanVAE(hidden)", "autonomy.likelihood_regret(seed)",
        "autonomy.likelihood_regret(rate)", "autonomy.residual_score(spread)", "autonomy.threshold_at(step_seconds)",
        "autonomy.views(reach)", "autonomy.cast(reach)",
    },
    "what the outputs of spiking networks look like": {"compression.DensityMeter(axis)"},
    "its own module hands it on": {
        "compression.keep_largest(masks)", "federated.head_confidence(causal)", "federated.head_confidence(corrected)",
    },
    "what another language model asks for": {
        "decoding.generate(stop)", "decoding.trace(stop)", "decoding.HuggingFaceModel(vocabulary)",
    },
}  # fmt: skip


class Source(NamedTuple):
    """What is said in one file, as code and as prose."""

    name: str
    tree: ast.Module
    prose: str


class Call(NamedTuple):
    """One call of a public name: the file, how many arguments by place, and which by name."""

    file: str
    positional: int
    keywords: frozenset[str]


def read(path: Path) -> Source:
    """Parse a file: of notebooks the code cells, of prose the fenced Python."""
    text = path.read_text(encoding="utf-8")
    code, prose = (text, "") if path.suffix == ".py" else ("\n".join(FENCE.findall(text)), text)
    if path.suffix == ".ipynb":
        cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]
        code = "\n".join(re.sub(r"^[%!].*$", "", said, flags=re.MULTILINE) for kind, said in cells if kind == "code")
        prose = "\n".join(said for kind, said in cells if kind == "markdown")
    return Source(str(path), parse_python(code), prose)


@cache
def users(root: Path) -> list[Source]:
    """Read all notebooks, pages and examples."""
    places = [root / place for place in USERS]
    files = [path for place in places for path in ([place] if place.is_file() else sorted(place.rglob("*")))]
    return [read(path) for path in files if path.suffix in (".py", ".ipynb", ".md")]


@cache
def exported() -> dict[tuple[str, str], object]:
    """Return what each package offers, by (package, name); a package inside another one is its own."""
    found = {}
    for init in sorted(PACKAGE.rglob("__init__.py")):
        room = ".".join(init.parent.relative_to(PACKAGE).parts)
        for node in ast.walk(parse_python(init.read_text(encoding="utf-8"))) if room else ():
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("edgebook."):
                module = importlib.import_module(f"edgebook.{room}")
                things = {alias.name: getattr(module, alias.name) for alias in node.names}
                found |= {(room, name): thing for name, thing in things.items() if not inspect.ismodule(thing)}
    return found


def outside(room: str) -> list[Path]:
    """Return the files of the package that do not lie in a room."""
    return [path for path in sorted(PACKAGE.rglob("*.py")) if PACKAGE / room not in path.parents]


def callable_of(thing: object) -> Callable[..., object] | None:
    """Return a function or class, None for a constant, a type alias or an error."""
    inner = inspect.unwrap(thing) if callable(thing) else thing
    fits = inspect.isfunction(inner) or (inspect.isclass(inner) and not issubclass(inner, BaseException))
    return inner if fits else None


def mentions(source: Source) -> Iterator[tuple[str, ast.AST]]:
    """Yield (dotted name after `edgebook.`, node) for all in the code that names a part of the package."""
    known: dict[str, str] = {}  # local name -> dotted name
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "edgebook":
            known |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            ours = [alias for alias in node.names if alias.name.partition(".")[0] == "edgebook"]
            known |= {alias.asname or "edgebook": alias.name if alias.asname else "edgebook" for alias in ours}

    def dotted(node: ast.AST) -> str | None:
        if isinstance(node, ast.Name):
            return known.get(node.id)
        inner = dotted(node.value) if isinstance(node, ast.Attribute) else None
        return f"{inner}.{node.attr}" if inner else None

    for node in ast.walk(source.tree):
        if name := dotted(node):
            yield name.partition(".")[2], node


def matches(dotted: str, room: str, name: str) -> bool:
    """Say whether `crossbar.on_crossbar` or `crossbar.layers.on_crossbar` is the name that `crossbar` offers."""
    first, _, last = dotted.rpartition(".")
    return last == name and f"{first}.".startswith(f"{room}.")


def used(sources: list[Source]) -> set[str]:
    """Return the dotted names that code or prose uses, after `edgebook.`."""
    said = {name for source in sources for name, _ in mentions(source)}
    linked = {link for source in sources for link in re.findall(r"edgebook\.([\w.]*\w)", source.prose)}
    return said | linked | {link.rpartition(".")[0] for link in linked}  # a link to a method is one to its class


@cache
def examples(room: str) -> str:
    """Return all examples in the docstrings of a package: what is typed, and what is printed."""
    things = [callable_of(thing) for (where, _), thing in exported().items() if where == room]
    tests = [test for thing in things if thing for test in doctest.DocTestFinder().find(thing)]
    return "\n".join(example.source + example.want for test in tests for example in test.examples)


def shown(room: str, name: str) -> bool:
    """Say whether a name has an example, or is shown by that of a neighbour which returns it."""
    thing = callable_of(exported()[room, name])
    own = thing is not None and ">>> " in (thing.__doc__ or "")
    return own or re.search(rf"\b{name}\b", examples(room)) is not None


def calls(sources: list[Source]) -> dict[str, list[Call]]:
    """Return the calls of each dotted name of the package; what changes a record somewhere is under `replace`."""
    found = defaultdict(list)
    for source in sources:
        places = {id(node): name for name, node in mentions(source)}
        every = [node for node in ast.walk(source.tree) if isinstance(node, ast.Call)]
        # What a dictionary hands over is not followed: all keywords and keys of the file count as handed over.
        keys = [key for node in ast.walk(source.tree) if isinstance(node, ast.Dict) for key in node.keys]
        loose = {k.arg for call in every for k in call.keywords if k.arg}
        loose |= {key.value for key in keys if isinstance(key, ast.Constant)}
        for call in every:
            verb = ast.unparse(call.func).rpartition(".")[2]
            partial = verb == "partial" and bool(call.args)
            changes = verb in ("replace", "_replace")
            name = "replace" if changes else places.get(id(call.args[0] if partial else call.func))
            if name:
                names = {k.arg for k in call.keywords if k.arg}
                names |= loose if any(k.arg is None for k in call.keywords) else set()
                starred = any(isinstance(argument, ast.Starred) for argument in call.args)  # may hold any number
                count = 0 if changes else 99 if starred else len(call.args) - partial
                found[name].append(Call(source.name, count, frozenset(names)))
    return found


def unset(thing: Callable[..., object], given: list[Call]) -> list[str]:
    """Return the options of a function or class that no call sets."""
    left = []
    for place, parameter in enumerate(inspect.signature(thing).parameters.values()):
        by_place = parameter.kind is not inspect.Parameter.KEYWORD_ONLY
        is_set = any(parameter.name in c.keywords or (by_place and c.positional > place) for c in given)
        if parameter.default is not inspect.Parameter.empty and not is_set:
            left.append(parameter.name)
    return left


def test_every_public_name_has_a_user_or_an_example(root: Path) -> None:
    offered, said = exported(), used(users(root))
    assert offered, "nothing to check"
    elsewhere = {room: said | used([read(path) for path in outside(room)]) for room in PLUMBING}
    idle = [
        f"{room} offers {name}, which no notebook, page or example uses"
        for room, name in offered
        if not shown(room, name) and not any(matches(dotted, room, name) for dotted in elsewhere.get(room, said))
    ]
    assert idle == []


def test_every_option_is_set_by_somebody(root: Path) -> None:
    """By a notebook, a page, an example or another module of the package, or it is allowed for a reason."""
    made = calls(users(root) + [read(path) for path in sorted(PACKAGE.rglob("*.py"))])
    left = set()
    for (room, name), offered in exported().items():
        thing = callable_of(offered)
        if room not in PLUMBING and thing is not None:
            home = inspect.getsourcefile(thing)
            ours = [call for dotted, some in made.items() if matches(dotted, room, name) for call in some]
            elsewhere = [call for call in ours + made["replace"] if call.file != home]
            left |= {f"{room}.{name}({option})" for option in unset(thing, elsewhere)}
    allowed = set().union(*ALLOWED.values())
    assert left - allowed == set(), "options that nobody sets"
    assert allowed - left == set(), "options that are set by now, or gone"


@pytest.mark.parametrize(
    ("code", "name", "seen"),
    [
        ("from edgebook.data import load_images", "load_images", False),  # imported, and not used
        ("from edgebook.data import load_images as f\nf('digits')", "load_images", True),
        ("from edgebook import data\ndata.load_images('digits')", "load_images", True),
        ("import edgebook.data.images\nedgebook.data.images.load_images('digits')", "load_images", True),
        ("load_images('digits')", "load_images", False),  # another one of that name
    ],
)
def test_a_use_is_seen(code: str, name: str, seen: bool) -> None:
    source = Source("example.py", parse_python(code), "")
    assert any(matches(dotted, "data", name) for dotted in used([source])) is seen


@pytest.mark.parametrize(
    ("code", "left"),
    [
        ("f(1)", ["b", "c"]),
        ("f(1, 2)", ["c"]),
        ("f(*many, c=3)", []),
        ("f(1, c=3)", ["b"]),
        ("options = {'b': 2}\nf(1, **options)", ["c"]),
        ("from functools import partial\npartial(f, c=3)", ["b"]),
    ],
)
def test_an_option_that_is_not_set_is_seen(code: str, left: list[str]) -> None:
    def f(a: int, b: int = 0, *, c: int = 0) -> None: ...

    made = calls([Source("example.py", parse_python(f"from edgebook.data import f\n{code}"), "")])
    assert unset(f, made["data.f"]) == left


MODULES = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    result = doctest.testmod(importlib.import_module(name), extraglobs={"torch": torch}, report=False)
    assert result.attempted > 0
    assert result.failed == 0, "the report above says which"
