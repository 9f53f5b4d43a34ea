"""What is committed names no machine and no package host, and holds no product of a run."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

# Written in pieces, so that this file does not find itself.
_HOSTS = ["pypi" + ".org", "python" + "hosted.org", "download.py" + "torch.org", "anaconda" + ".org",
          "anaconda" + ".com", "registry.npm" + "js.org", "npm" + "mirror.com"]  # fmt: skip
_HOST = re.compile("|".join(map(re.escape, _HOSTS)), re.IGNORECASE)
# Not after a word, a dot, a bracket or the bar of a pattern: a folder of that name in a tree is no path of a machine.
_FOLDERS = ["wor" + "k", "roo" + "t", "ho" + r"me/\w+", "Us" + r"ers/\w+", r"tmp/\w+"]
_MACHINE = re.compile(rf"(?<![\w.$}}>)\]/|-])/(?:{'|'.join(_FOLDERS)})(?:/|\b)")
_BUILT = re.compile(
    r"(^|/)(_build|\.nbmake|__pycache__|\.ipynb_checkpoints|[^/]+\.egg-info)/|\.(pyc|pkl|pt|log)$|^[^/]+\.ipynb$"
)
_IGNORED = re.compile(
    r"(^|/)(\.venv|\.git|_build|\.nbmake|\.snakemake|__pycache__|\.hypothesis|\.\w+_cache|[^/]+\.egg-info)/"
)
_LARGEST = 2_000_000


def tracked(root: Path) -> Iterator[str]:
    """Yield what is wrong with the files that git tracks or would add."""
    for path in _files(root):
        name = path.relative_to(root).as_posix()
        if is_built(name):
            yield f"{name} is a product of a run."
        if path.stat().st_size > _LARGEST:
            yield f"{name} has {path.stat().st_size} bytes; {_LARGEST} are the most."
        try:
            yield from (f"{name}, {problem}." for problem in problems_of(path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue  # an image


def problems_of(text: str) -> Iterator[str]:
    """Yield which lines of a text name a package host or a path of some machine."""
    for number, line in enumerate(text.splitlines(), 1):
        yield from (f"line {number} names the host {hit.group()}" for hit in _HOST.finditer(line))
        yield from (f"line {number} has the machine's path {hit.group()}" for hit in _MACHINE.finditer(line))


def is_built(name: str) -> bool:
    """Tell whether a file of that name is a product of a run."""
    return bool(_BUILT.search(name))


def _files(root: Path) -> list[Path]:
    """Return what git tracks or would add; outside a repository everything that .gitignore does not name."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if listed.returncode == 0 and listed.stdout:
        names = listed.stdout.split("\0")
    else:
        names = [path.relative_to(root).as_posix() for path in root.rglob("*")]
        names = [name for name in names if not _IGNORED.search(f"{name}/")]
    return sorted({root / name for name in names if name and (root / name).is_file()})
