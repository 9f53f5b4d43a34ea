"""What a run is computed with and on, for its record."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgebook.ledger.record import Hardware

_PACKAGES = (
    "edgebook", "torch", "torchvision", "numpy", "scipy", "numba", "scikit-learn", "scikit-image", "Torch-Pruning",
    "snntorch", "captum", "flwr",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers may depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def hardware() -> Hardware:
    """Return what this process computes on."""
    torch = sys.modules.get("torch")  # a run that has not loaded it has used no GPU, and loading it takes seconds
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    gpu = torch.cuda.get_device_name() if torch is not None and torch.cuda.is_available() else None
    cpu = names[0] if names else platform.processor() or platform.machine()
    return Hardware(cpu=cpu, cores=os.cpu_count() or 1, gpu=gpu, platform=f"{platform.system()} {platform.machine()}")
