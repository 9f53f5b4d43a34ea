"""The one place that imports torchvision.

A build of PyTorch for the CPU alone, beside torchvision's default wheel, makes ``import torchvision`` fail with
"operator torchvision::nms does not exist": the compiled part does not load, and two operators are never declared.
Declaring them is enough for data sets, transforms and models; only detection code would call them.
"""

from __future__ import annotations

import sys
from types import ModuleType

import torch

_SCHEMAS = tuple(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor" for name in ("nms", "qnms"))
_declared: list[torch.library.Library] = []  # a collected Library takes its declarations with it


def import_torchvision() -> ModuleType:
    """Import torchvision, declaring its missing operators first where the plain import fails for want of them.

    Any later ``import torchvision``, also by another package (transformers, timm), then works.

    Returns
    -------
    The module ``torchvision``.

    Raises
    ------
    ModuleNotFoundError
        torchvision is not installed.
    RuntimeError
        The import fails for another reason; the error is torchvision's own.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error) or _declared:
            raise
        _declare_operators()
        import torchvision
    return torchvision


def _declare_operators() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # what the failed import left behind
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        library.define(schema)
    _declared.append(library)
