"""Operators of PyTorch: functions that compilers, tracers and transforms see as one node, whatever is inside them.

Such an operator lies under `torch.ops.edgebook` and has a kernel for tensors with memory, one for those without
("fake"), a node that differentiates it, and a rule for `torch.func.vmap`.
`torch.library.register_autograd` would be the plain way to the node; under `torch.func.grad` it fails (PyTorch 2.13).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._functorch.utils import enable_single_level_autograd_function
from torch.autograd import forward_ad
from torch.autograd.function import _SingleLevelFunction as Node

LIBRARY = torch.library.Library("edgebook", "FRAGMENT")
Operator = Callable[..., Any]


def define(schema: str, kernel: Operator, fake: Operator, autograd: Operator, vmap: Operator) -> Operator:
    """Return a new operator; `autograd` is what is differentiated, such as `differentiable(node)`."""
    name = f"edgebook::{schema.partition('(')[0]}"
    LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    LIBRARY.impl(name, kernel, "CompositeExplicitAutograd")
    LIBRARY.impl(name, autograd, "Autograd")
    torch.library.register_fake(name, fake, lib=LIBRARY)
    torch.library.register_vmap(name, vmap, lib=LIBRARY)
    return getattr(torch.ops.edgebook, name.partition("::")[2]).default


def cast_up(
    schema: str, kernel: Operator, fake: Operator, autograd: Operator, vmap: Operator, *, pointwise: bool = False
) -> Operator:
    """Return a new operator as `define` does, for whose inputs autocast casts halves up.

    With `pointwise` it says of itself that it treats every number alike: whoever counts products of matrices then knows
    that there are none in it, although it takes several tensors.
    """
    name = f"edgebook::{schema.partition('(')[0]}"
    LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag, *[torch.Tag.pointwise] * pointwise))
    LIBRARY.impl(name, kernel, "CompositeExplicitAutograd")
    LIBRARY.impl(name, autograd, "Autograd")
    torch.library.register_fake(name, fake, lib=LIBRARY)
    torch.library.register_vmap(name, vmap, lib=LIBRARY)
    for device in ("cpu", "cuda"):
        torch.library.register_autocast(name, device, torch.float32, lib=LIBRARY)
    return getattr(torch.ops.edgebook, name.partition("::")[2]).default


def differentiable(node: type[Node]) -> Operator:
    """Return what applies a node of the graph, at each level of nested transforms."""

    def apply(*inputs: Any) -> Any:
        if not torch._C._are_functorch_transforms_active():
            return node.apply(*inputs)
        with enable_single_level_autograd_function():
            return node.apply(*inputs)

    return apply


def below_autograd(operator: Operator, *inputs: Any) -> Any:
    """Call an operator within its own node: the level that differentiates it is done, those around it are not."""
    if not torch._C._are_functorch_transforms_active():
        with torch._C._AutoDispatchBelowAutograd():
            return operator(*inputs)
    with torch._C._AutoDispatchBelowAutograd(), torch.enable_grad(), forward_ad._set_fwd_grad_enabled(True):
        return operator(*inputs)
