"""Multiply-accumulates of a run, operator by operator; where nobody knows a count it is refused and not left out.

PyTorch's own formulas, those of `torch.utils.flop_counter`, and a few that they lack. Not counted: elementwise
products, norms, pooling, and what is made of weights alone, such as a parametrisation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import HigherOrderOperator
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_flop

_aten = torch.ops.aten


def _recurrent(x: Tensor, *weights: Tensor) -> int:
    """Count what every matrix does once for each row of a sequence (..., inputs)."""
    return x.numel() // x.shape[-1] * sum(weight.numel() for weight in weights if weight.ndim == 2)


# From the arguments of an operator to its multiply-accumulates.
_LACKING: dict[Any, Callable[..., int]] = {
    _aten.dot: lambda a, _: a.numel(),
    _aten.vdot: lambda a, _: a.numel(),
    _aten.mv: lambda matrix, _: matrix.numel(),
    _aten.addmv: lambda _, matrix, *__, **___: matrix.numel(),
    _aten.mkldnn_rnn_layer: lambda x, w_input, w_hidden, *_: _recurrent(x, w_input, w_hidden),
    _aten._cudnn_rnn: lambda x, weights, *_: _recurrent(x, *weights),
    _aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop(q, k, v) // 2,
}
# Words in the names of operators that take two tensors of real numbers and multiply no matrices.
_HARMLESS = (
    "bernoulli", "bucketize", "cat", "complex", "copy", "embedding", "equal", "fake_quant", "fill", "floor_divide",
    "fq_helper", "fused_gru", "fused_lstm", "index", "isin", "loss", "norm", "polar", "pool", "prelu", "put", "resize",
    "rrelu", "scatter", "searchsorted", "set_", "stack", "where",
)  # fmt: skip


class Multiplications(TorchDispatchMode):
    """Multiply-accumulates so far, by the name of the innermost module at work, in the order of execution."""

    supports_higher_order_operators = True  # if only to refuse them by name

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.macs: Counter[str] = Counter()
        self.modules = dict(model.named_modules())
        self.running: list[str | None] = [""]  # None in hooks before a module, which make its weights

    def within(self, layers: Collection[str]) -> Counter[str]:
        """Return what these layers have multiplied, and refuse where another module has."""
        for name in self.macs:
            if name not in layers:
                raise ValueError(f"{self._said(name)} multiplies, and is no layer whose cost is known by itself.")
        return self.macs

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if isinstance(func, HigherOrderOperator):
            raise self._unknown(func)
        if _is_made_of_others(func):
            with self:
                return func.decompose(*args, **kwargs)
        output, name = func(*args, **kwargs), self.running[-1]
        if name is not None and "parametrizations" not in name.split("."):
            self._count(name, func, args, kwargs, output)
        return output

    def _count(self, name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        operator = func.overloadpacket
        if operator in flop_registry:
            self.macs[name] += flop_registry[operator](*args, **kwargs, out_val=output) // 2
        elif operator in _LACKING:
            self.macs[name] += _LACKING[operator](*args, **kwargs)
        elif not _harmless(func) and _may_multiply(func, tree_leaves((args, kwargs))):
            raise self._unknown(func)

    def _unknown(self, func: Any) -> ValueError:
        name = self.running[-1] or ""
        return ValueError(f"{self._said(name)} calls {func}, whose multiply-accumulates are not known.")

    def _said(self, name: str) -> str:
        kind = type(self.modules[name]).__name__
        return f"Layer {name!r} ({kind})" if name else f"The model ({kind})"


@contextmanager
def multiplications(model: nn.Module) -> Iterator[Multiplications]:
    """Count the multiply-accumulates of a model while it runs, by module.

    Parameters
    ----------
    model : torch.nn.Module

    Yields
    ------
    Multiplications

    Raises
    ------
    ValueError
        The model has complex parameters, or an operator runs that may multiply, and whose count is not known.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv1d(2, 3, 5), nn.ReLU())
    >>> with multiplications(net) as counted:
    ...     _ = net(torch.zeros(1, 2, 9))
    >>> counted.macs
    Counter({'0': 150})
    """
    for name, parameter in model.named_parameters():
        if parameter.is_complex():
            raise ValueError(f"Multiply-accumulates are those of real numbers, and the parameter {name!r} is complex.")
    counted = Multiplications(model)

    def begin(*_: object) -> None:
        counted.running.append(None)

    def enter(name: str) -> None:
        counted.running[-1] = name

    def leave(*_: object) -> None:
        counted.running.pop()

    with ExitStack() as undo:
        for name, module in counted.modules.items():
            if isinstance(module, torch.jit.ScriptModule):  # takes no hooks: what it does is done by what holds it
                continue
            for handle in (
                module.register_forward_pre_hook(begin, prepend=True),
                module.register_forward_pre_hook(lambda *_, name=name: enter(name)),
                module.register_forward_hook(leave, always_call=True),
            ):
                undo.callback(handle.remove)
        # It makes one operator of a whole layer of attention
        undo.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
        torch.backends.mha.set_fastpath_enabled(False)
        with counted:
            yield counted


@cache
def _is_made_of_others(func: Any) -> bool:
    composite = torch._C.DispatchKey.CompositeImplicitAutograd
    return func.namespace == "aten" and func.has_kernel_for_dispatch_key(composite)


@cache
def _harmless(func: Any) -> bool:
    """Tell whether an operator without a formula is known to multiply elementwise at most."""
    name = func.overloadpacket.__name__
    plain = getattr(_aten, name.removesuffix("_"), func.overloadpacket)  # for what works in place has no tag
    elementwise = any(torch.Tag.pointwise in getattr(plain, overload).tags for overload in plain.overloads())
    return elementwise or any(word in name for word in _HARMLESS)


def _may_multiply(func: Any, leaves: list[Any]) -> bool:
    """Tell whether another operator takes two tensors of real numbers, or is a product by name."""
    packed = sum(isinstance(x, torch.ScriptObject) for x in leaves)
    real = sum(isinstance(x, Tensor) and (x.is_floating_point() or x.is_complex()) for x in leaves)
    return packed + real > 1 or func.overloadpacket.__name__.endswith("mm")
