"""Sets that were fetched, kept decoded: for each a folder ``arrays/<name>`` of four uint8 arrays, mapped when read."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Arrays(NamedTuple):
    """A whole set as its publisher has it: images uint8 (N, C, H, W), labels uint8 (N,)."""

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray


def kept_folder(name: str, root: Path) -> Path:
    """Return where the arrays of a set lie under the data folder, if they are there; they are whole then."""
    return root / "arrays" / name


def read_kept(name: str, root: Path) -> Arrays:
    """Map the arrays of a set into memory, so that only the images that are used are read.

    A `FileNotFoundError` where they are missing, cut short or of another kind.
    """
    folder = kept_folder(name, root)
    try:
        arrays = Arrays(*(np.load(folder / f"{part}.npy", mmap_mode="r") for part in Arrays._fields))
    except (ValueError, EOFError) as error:  # cut short, or no arrays at all
        raise FileNotFoundError(f"{folder} is damaged.") from error
    for x, y in (arrays[:2], arrays[2:]):
        if x.ndim != 4 or y.shape != (len(x),) or (x.dtype, y.dtype) != (np.uint8, np.uint8):
            raise FileNotFoundError(f"{folder} holds other arrays.")
    return arrays


def sha256(arrays: Arrays) -> str:
    """Return the SHA-256 of the bytes of all four arrays, one after the other."""
    hashed = hashlib.sha256()
    for array in arrays:
        hashed.update(np.ascontiguousarray(array).reshape(-1))
    return hashed.hexdigest()


def keep(name: str, root: Path, obtain: Callable[[Path], Arrays]) -> Path:
    """Put a set into its folder, as a function returns it that may use a private folder beside that; whole or not.

    Where anything fails, the private folder goes, and so do the folders that were made for it; that of a process which
    was killed goes with the next call.
    """
    target = kept_folder(name, root)
    made = [folder for folder in target.parents if not folder.exists()]  # the innermost first
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_forgotten(name, target.parent)
        private_name = {"prefix": f".{name}-{os.getpid()}-", "dir": target.parent}
        with tempfile.TemporaryDirectory(**private_name, ignore_cleanup_errors=True) as private:
            whole = Path(private, "arrays")
            arrays = obtain(Path(private))
            whole.mkdir()
            for part, array in zip(Arrays._fields, arrays, strict=True):
                with (whole / f"{part}.npy").open("wb") as file:
                    np.save(file, array)
                    file.flush()
                    os.fsync(file.fileno())
            shutil.rmtree(target, ignore_errors=True)
            os.replace(whole, target)
    except BaseException:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()
        raise
    return target


def _remove_forgotten(name: str, folder: Path) -> None:
    """Remove the private folders of processes that are gone."""
    for left in folder.glob(f".{name}-*-*"):
        try:
            os.kill(int(left.name.rsplit("-", 2)[1]), 0)
        except ProcessLookupError:
            shutil.rmtree(left, ignore_errors=True)
        except (ValueError, PermissionError):  # a folder of others, or a process of another user
            continue
