"""pyproject.toml, constraints.txt, environment.yml and the environment itself say the same."""

from __future__ import annotations

import re
import sysconfig
import tomllib
from importlib.metadata import distributions, packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from edgebook.notebooks import cells

PLATFORMS = [
    {
        "python_version": python,
        "python_full_version": f"{python}.4",
        "sys_platform": system.lower(),
        "platform_system": system,
    }
    for python in ("3.11", "3.12", "3.13")
    for system in ("Linux", "Darwin")
]
# What PyTorch brings along for GPUs is its own affair and differs between machines.
GPU = re.compile(r"^(nvidia|cuda|triton)(-|$)")


# Used, but imported by no name: where each is called.
TOOLS = {
    "check-jsonschema": ("tests/guards/test_workflows.py", "check_jsonschema"),
    "codespell": (".pre-commit-config.yaml", "codespell"),
    "ipykernel": ("src/edgebook/notebooks/runner.py", "ipykernel_launcher"),
    "jupyter-book": ("src/edgebook/pages/render.py", "jupyter_book"),
    "jupyterlab": ("Makefile", "jupyter lab"),
    "nbmake": ("Makefile", "--nbmake"),
    "nbstripout": (".pre-commit-config.yaml", "nbstripout"),
    "pytest-benchmark": ("benchmarks/conftest.py", "benchmark.pedantic"),
    "pre-commit": ("CONTRIBUTING.md", "pre-commit install"),
    "ruff": (".pre-commit-config.yaml", "ruff check"),
    "scikit-image": ("src/edgebook/data/photos.py", '"skimage"'),
    "snakemake": ("Makefile", "snakemake"),
    "snakemake-executor-plugin-cluster-generic": ("profiles/kubernetes/config.yaml", "executor: cluster-generic"),
    "snakemake-executor-plugin-slurm": ("profiles/slurm/config.yaml", "executor: slurm"),
    "sphinx-mathjax-offline": ("_config.yml", "sphinx-mathjax-offline"),
}
IMPORT = re.compile(r"^[ >]*(?:from|import) +(\w+)", flags=re.MULTILINE)


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def lines(root: Path) -> list[str]:
    text = (root / "constraints.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def pins(lines: list[str]) -> dict[str, Requirement]:
    found = [Requirement(line) for line in lines]
    return {canonicalize_name(pin.name): pin for pin in found}


@pytest.fixture(scope="module")
def asked(project: dict[str, Any]) -> list[Requirement]:
    """The direct dependencies, with those of every extra and of the build."""
    table = project["project"]
    groups = [
        table["dependencies"],
        *table["optional-dependencies"].values(),
        project["build-system"]["requires"],
    ]
    return [Requirement(text) for group in groups for text in group]


def exact(pin: Requirement) -> str:
    (clause,) = pin.specifier
    return clause.version


def installed() -> dict[str, Any]:
    """What lies in this environment; a test before may have put the copies that setuptools brings along on the path."""
    here = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    return {canonicalize_name(found.metadata["Name"]): found for found in distributions(path=here)}


def reachable(asked: list[Requirement], platform: dict[str, str]) -> set[str]:
    """Return what the direct dependencies pull in on a platform, as far as installed metadata tells."""
    here, seen = installed(), set()
    todo = [(canonicalize_name(r.name), frozenset(r.extras)) for r in asked]
    while todo:
        name, extras = todo.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        for text in (here[name].requires or []) if name in here else []:
            needed = Requirement(text)
            marker = needed.marker
            if marker is None or any(marker.evaluate({**platform, "extra": e}) for e in extras | {""}):
                todo.append((canonicalize_name(needed.name), frozenset(needed.extras)))
    return {name for name, _ in seen if not GPU.match(name)}


def test_each_constraint_is_exact_and_stands_once(lines: list[str], pins: dict[str, Requirement]) -> None:
    assert len(lines) == len(pins)
    for pin in pins.values():
        (clause,) = pin.specifier
        assert clause.operator == "==", pin
        version = Version(clause.version)  # raises for a wildcard
        assert version.local is None, pin
        assert pin.url is None and not pin.extras, pin
    assert [*pins] == sorted(pins)


def test_gpu_packages_are_left_out(pins: dict[str, Requirement]) -> None:
    assert [name for name in pins if GPU.match(name)] == []


def test_each_dependency_is_pinned_within_its_range(asked: list[Requirement], pins: dict[str, Requirement]) -> None:
    for needed in asked:
        pin = pins.get(canonicalize_name(needed.name))
        assert pin is not None, f"{needed.name} is not in constraints.txt"
        assert needed.specifier, f"{needed.name} has no range in pyproject.toml"
        assert needed.specifier.contains(exact(pin)), f"{needed} does not allow {pin}"


def test_the_pins_are_what_the_dependencies_pull_in(asked: list[Requirement], pins: dict[str, Requirement]) -> None:
    """On each supported platform nothing is missing; nothing is pinned for no reason."""
    needed = [reachable(asked, platform) for platform in PLATFORMS]
    assert set().union(*needed) - set(pins) == set()
    # Below a package that is not installed here no metadata can be read: such pins say when they apply.
    idle = set(pins) - set().union(*needed)
    assert [name for name in idle if pins[name].marker is None] == []


def test_the_environment_is_the_locked_one(asked: list[Requirement], pins: dict[str, Requirement]) -> None:
    here = installed()
    names = reachable(asked, {})
    assert len(names) > 100
    assert names - set(here) == set(), "not installed"
    found = {name: Version(here[name].version).public for name in names}
    differing = {name: version for name, version in found.items() if version != exact(pins[name])}
    assert differing == {}, "installed in another version than constraints.txt says"


def test_each_dependency_is_imported_or_called(root: Path, project: dict[str, Any]) -> None:
    """Where its code, a notebook or a page imports nothing of it, the table above says who calls it."""
    folders = ("src", "notebooks", "book", "tests", "federation", "profiles")
    files = [path for folder in folders for path in (root / folder).rglob("*") if path.suffix in (".py", ".md")]
    texts = [path.read_text(encoding="utf-8") for path in files]
    notebooks = [*root.glob("notebooks/*.ipynb"), *root.glob("book/*.ipynb")]
    texts += [cell["source"] for path in notebooks for cell in cells(path)]
    modules = {name for text in texts for name in IMPORT.findall(text)}
    owners = packages_distributions()
    imported = {canonicalize_name(owner) for module in modules for owner in owners.get(module, ())}
    table = project["project"]
    groups = [table["dependencies"], *table["optional-dependencies"].values()]
    names = {canonicalize_name(Requirement(text).name) for group in groups for text in group}
    assert len(names) > 30
    assert names - imported - set(TOOLS) == set()
    assert set(TOOLS) <= names
    assert [tool for tool, (place, word) in TOOLS.items() if word not in (root / place).read_text()] == []


def test_conda_and_binder_users_get_the_same(root: Path, project: dict[str, Any]) -> None:
    environment = yaml.safe_load((root / "environment.yml").read_text(encoding="utf-8"))
    python, pip, section = environment["dependencies"]
    extras = ",".join(project["project"]["optional-dependencies"])
    assert section == {"pip": ["-c constraints.txt", f"-e .[{extras}]"]}
    assert pip == "pip"
    name, _, version = python.partition("=")
    assert name == "python"
    assert SpecifierSet(project["project"]["requires-python"]).contains(version)
    # Binder reads a folder of this name instead of the file at the root.
    assert not (root / "binder").exists() and not (root / ".binder" / "environment.yml").exists()


def test_make_installs_every_extra(root: Path, project: dict[str, Any]) -> None:
    extras = ",".join(project["project"]["optional-dependencies"])
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    assert f"'.[{extras}]'" in makefile
    assert "PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt" in makefile


def test_one_version_number(root: Path) -> None:
    from edgebook import __version__

    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    assert installed()["edgebook"].version == __version__
