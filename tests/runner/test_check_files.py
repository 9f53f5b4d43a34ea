"""What is committed names no machine and no package host, and holds no product of a run."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

# Written in pieces, so that this file does not find itself.
HOSTS = ["pypi" + ".org", "python" + "hosted.org", "download.py" + "torch.org", "anaconda" + ".org",
         "anaconda" + ".com", "registry.npm" + "js.org", "npm" + "mirror.com"]  # fmt: skip
HOST = re.compile("|".join(map(re.escape, HOSTS)), re.IGNORECASE)
# Not after a word, a dot, a bracket or the bar of a pattern: a folder of that name in a tree is no path of a machine.
FOLDERS = ["wo" + "rk", "ro" + "ot", "ho" + r"me/\w+", "Us" + r"ers/\w+", r"tmp/\w+"]
MACHINE = re.compile(rf"(?<![\w.$}}>)\]/|-])/(?:{'|'.join(FOLDERS)})(?:/|\b)")
BUILT = re.compile(
    r"(^|/)(_build|\.nbmake|__pycache__|\.ipynb_checkpoints|[^/]+\.egg-info)/|\.(pyc|pkl|pt|log)$|^[^/]+\.ipynb$"
)
IGNORED = re.compile(
    r"(^|/)(\.venv|\.git|_build|\.nbmake|\.snakemake|__pycache__|\.hypothesis|\.\w+_cache|[^/]+\.egg-info)/"
)
LARGEST = 2_000_000


def files_of(root: Path) -> list[Path]:
    """Return what git tracks or would add; outside a repository everything that .gitignore does not name."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if listed.returncode == 0 and listed.stdout:
        names = listed.stdout.split("\0")
    else:
        names = [str(path.relative_to(root)) for path in root.rglob("*")]
        names = [name for name in names if not IGNORED.search(f"{name}/")]
    return sorted({root / name for name in names if name and (root / name).is_file()})


def problems(text: str) -> list[str]:
    """Say which lines of a text name a package host or a path of some machine."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        found += [f"line {number} names the host {hit.group()}" for hit in HOST.finditer(line)]
        found += [f"line {number} has the machine's path {hit.group()}" for hit in MACHINE.finditer(line)]
    return found


def test_tracked_files_name_no_machine_and_no_package_host(root: Path) -> None:
    files = files_of(root)
    assert root / "pyproject.toml" in files
    found = {}
    for path in files:
        try:
            said = problems(path.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            continue  # an image
        if said:
            found[str(path.relative_to(root))] = said
    assert found == {}


def test_no_product_of_a_run_is_tracked(root: Path) -> None:
    names = [str(path.relative_to(root)) for path in files_of(root)]
    assert [name for name in names if BUILT.search(name)] == []


def test_tracked_files_are_small(root: Path) -> None:
    sizes = {str(path.relative_to(root)): path.stat().st_size for path in files_of(root)}
    assert {name: size for name, size in sizes.items() if size > LARGEST} == {}


@pytest.mark.parametrize("text", [
    "index = https://files.python" + "hosted.org/packages",
    "--extra-index-url https://download.py" + "torch.org/whl/cpu",
    "see PyPI" + ".org",
    'open("/ho' + 'me/ann/data.npz")',
    "cd /wo" + "rk/main",
    "cache: /ro" + "ot/.cache",
    "File /Us" + "ers/ann/book.ipynb",
    "/tmp/" + "abc/out.json",
])  # fmt: skip
def test_a_machine_or_host_is_caught(text: str) -> None:
    assert len(problems(text)) == 1


@pytest.mark.parametrize("text", [
    "https://arxiv.org/abs/2002.07339",
    "the folder _build/wo" + "rk/html",
    'f"{folder}/ro' + 'ot/x"',
    "and/or, work/home",
])  # fmt: skip
def test_ordinary_text_passes(text: str) -> None:
    assert problems(text) == []


def test_products_are_recognised() -> None:
    for name in (
        "_build/html/index.html",
        "out.ipynb",
        "src/edgebook.egg-info/PKG-INFO",
        "src/x/__pycache__/a.pyc",
    ):
        assert BUILT.search(name), name
    for name in ("notebooks/a.ipynb", "results/full/a.json", "src/edgebook/build.py"):
        assert not BUILT.search(name), name
