r"""One step of the neuron, for networks in which the next current depends on the last spikes, such as feedback.

.. math:: h_t = c_{t-1} + g\,I_t, \qquad s_t = 1[h_t > \theta]

`edgebook.spiking.lif` takes all currents at once; here :math:`c_{t-1}`, what the last step has left of the membrane, is
handed in and :math:`c_t` handed out; `edgebook.spiking.neuron.convention` has the formulas. Like `lif` it is one node of
the graph, the operator `torch.ops.edgebook.lif_step`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import forward_ad

from edgebook.spiking.neuron import recurrence
from edgebook.spiking.neuron.choice import one_of
from edgebook.spiking.neuron.convention import SCHEMA, Convention, Reset, constants, from_arguments
from edgebook.spiking.neuron.library import LIBRARY, Node, below_autograd, define, differentiable
from edgebook.spiking.neuron.lif import LIF
from edgebook.spiking.neuron.memory import NUMPY
from edgebook.spiking.neuron.recurrence import BACKENDS, Backend, kernels
from edgebook.spiking.neuron.surrogates import Surrogate, atan

_ATAN = atan()


def lif_step(
    current: Tensor,
    carry: Tensor | None,
    beta: float,
    threshold: float = 1.0,
    reset: Reset = "zero",
    *,
    scale_input: bool = False,
    surrogate: Surrogate = _ATAN,
    relative: bool = False,
    strict: bool = True,
    detach_reset: bool = True,
    delay: bool = False,
    backend: Backend = "auto",
) -> tuple[Tensor, Tensor]:
    r"""Spikes of leaky integrate-and-fire neurons at one step, and what they carry into the next.

    Step after step it spikes and learns as `edgebook.spiking.lif` on the same backend, to the last bit.

    Parameters
    ----------
    current : Tensor, (B, ...), input current :math:`I_t` of one step, float32 or float64
    carry : Tensor or None, (B, ...), :math:`c_{t-1}`, as the last step returned it; None at the first step
    beta, threshold, reset, scale_input, surrogate, relative, strict, detach_reset, delay, backend
        As in `edgebook.spiking.lif`.

    Returns
    -------
    tuple of two Tensors, (B, ...), spikes :math:`s_t`, 0 or 1, and the carry :math:`c_t`, after leak and reset

    Raises
    ------
    ValueError
        A parameter outside its range, a current of another type, a carry that is not like the current, or a backend
        that cannot be had.
    TypeError
        A current or carry that is no tensor.

    Examples
    --------
    >>> carry = None
    >>> for current in torch.tensor([[0.6], [0.8], [0.6]]):
    ...     spike, carry = lif_step(current, carry, beta=0.5)
    ...     print(spike.item(), round(carry.item(), 2))
    0.0 0.3
    1.0 0.0
    0.0 0.3
    """
    convention = Convention(beta, threshold, reset, scale_input, surrogate, relative, strict, detach_reset, delay)
    return step(current, carry, convention, backend)


class SteppedLIF(LIF):
    """A `LIF` that can also take a sequence step by step, for then it keeps its carry where it is told to.

    With ``held`` it takes one step (1, B, ...), and finds and leaves its carry there; the caller begins with an empty
    dictionary, and so nothing is left behind in the layer.
    """

    def forward(
        self, currents: Tensor, membranes: bool = False, held: dict[SteppedLIF, Tensor] | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return the spikes, of the shape of the currents."""
        if held is None:
            return super().forward(currents, membranes)
        spikes, held[self] = step(currents.squeeze(0), held.get(self), self.convention, self.backend)
        return spikes.unsqueeze(0)


def step(current: Tensor, carry: Tensor | None, convention: Convention, backend: str) -> tuple[Tensor, Tensor]:
    """Return spikes and carry of one step, as `lif_step`."""
    one_of("backend", backend, BACKENDS)
    for name, given in (("current", current), ("carry", carry)):
        if not (torch.overrides.is_tensor_like(given) or (given is None and name == "carry")):
            raise TypeError(f"{name} must be a tensor, got a {type(given).__name__}.")
    carry = torch.zeros_like(current) if carry is None else carry  # c_0 = 0
    outputs = _STEP(current, carry, *convention.arguments, backend)
    return outputs[0], outputs[1]


def definition(current: Tensor, carry: Tensor, convention: Convention) -> tuple[Tensor, Tensor, Tensor]:
    """Return spikes, carry and membranes by the definition, as `recurrence.steps` has them at each step."""
    beta, threshold = convention.beta, convention.threshold
    h = carry + convention.gain * current  # before any reset
    distance = (h - threshold) / threshold if convention.relative else h - threshold
    s = fired = convention.surrogate.spike(distance, strict=convention.strict)
    s = s.detach() if convention.detach_reset else s
    if convention.reset == "zero":
        return fired, beta * (h * (1 - s)), h
    if convention.reset == "none":
        return fired, beta * h, h
    return fired, beta * h - threshold * s if convention.delay else beta * (h - threshold * s), h


def _chosen(current: Tensor, carry: Tensor, backend: str) -> str:
    backend = recurrence.chosen(backend, current.unsqueeze(0))
    if carry.shape != current.shape or carry.dtype != current.dtype or carry.device != current.device:
        here, there = (
            f"{str(x.dtype).removeprefix('torch.')} {tuple(x.shape)} on {x.device}" for x in (current, carry)
        )
        raise ValueError(f"carry must be like the current, {here}, got {there}.")
    return backend


def _flat(x: Tensor) -> NDArray[Any]:
    """Return the memory of a tensor without gaps."""
    return x.detach().as_strided((x.numel(),), (1,)).numpy()


def _laid(x: Tensor, like: Tensor) -> Tensor:
    """Return a tensor in the layout of another one that has no gaps, a copy only where it lies otherwise."""
    return x if x.stride() == like.stride() else torch.empty_like(like).copy_(x)


def _forward(current: Tensor, carry: Tensor, *arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    convention = from_arguments(*arguments[:-1])
    if _chosen(current, carry, arguments[-1]) != "numba":
        return definition(current, carry, convention)
    spikes, membranes, left = (torch.empty_like(current) for _ in range(3))
    left.copy_(carry)
    arrays = map(_flat, (_laid(current, left), left, membranes, spikes))
    kernels()._fire(*arrays, constants(convention, NUMPY[current.dtype]))
    return spikes, left, membranes


def _forward_without_memory(current: Tensor, carry: Tensor, *arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    _chosen(current, carry, arguments[-1])
    return torch.empty_like(current), torch.empty_like(current), torch.empty_like(current)


def _backward(membranes: Tensor, spikes: Tensor, left: Tensor, *arguments: Any) -> tuple[Tensor, Tensor]:
    """Return the gradients of current and carry from those of spikes and of the carry that is handed out."""
    convention = from_arguments(*arguments[:-1])
    backend = _chosen(membranes, membranes, arguments[-1])
    if backend != "numba":  # two steps, of which the second one hands back the gradient of the carry as it is
        pairs = (torch.stack([*pair]) for pair in ((membranes,) * 2, (spikes, 0 * spikes), (0 * left, left)))
        grad = recurrence.backward(*pairs, replace(convention, scale_input=False), backend)[0]
        return convention.gain * grad, grad.clone()
    grads, carries = torch.empty_like(membranes), torch.empty_like(membranes).copy_(left)
    arrays = map(_flat, (membranes, _laid(spikes, membranes), carries, grads))
    kernels()._step_back(*arrays, constants(convention, NUMPY[membranes.dtype]), convention.kind)
    return grads, carries


def _backward_without_memory(membranes: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(membranes), torch.empty_like(membranes)


class _Step(Node):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
        spikes, left, membranes = below_autograd(_STEP, *inputs)
        ctx.save_for_backward(membranes)
        ctx.mark_non_differentiable(membranes)
        ctx.arguments = inputs[2:]
        return spikes, left, membranes

    @staticmethod
    def backward(ctx: Any, spikes: Tensor, left: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        (membranes,) = ctx.saved_tensors
        return *_STEP_BACKWARD(membranes, spikes, left, *ctx.arguments), *(None for _ in ctx.arguments)


class _Gradient(Node):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor]:
        return below_autograd(_STEP_BACKWARD, *inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, ...]:
        raise RuntimeError("The fused neuron has no second derivative; use backend='steps' for that.")

    jvp = backward


def _differentiable(current: Tensor, carry: Tensor, *arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Make one node of it; on backend `steps`, and in forward mode on any, leave it to PyTorch to differentiate."""
    if _chosen(current, carry, arguments[-1]) != "steps" and forward_ad._current_level < 0:
        try:
            return _fused(current, carry, *arguments)
        except NotImplementedError:  # forward mode in a graph that was recorded in it, where no level is seen
            pass
    return definition(current, carry, from_arguments(*arguments[:-1]))


def _mapped(operator: Any, tensors: int) -> Any:
    """Return the rule of a map over an operator that treats every number alike: the mapped axis is one more."""

    def rule(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        found = [
            x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)
            for x, dim in zip(inputs[:tensors], in_dims, strict=False)
        ]
        outputs = operator()(*found, *inputs[tensors:])
        return outputs, (0,) * len(outputs)

    return rule


_fused = differentiable(_Step)
_STEP = define(
    f"lif_step(Tensor current, Tensor carry, {SCHEMA}, str backend) -> (Tensor, Tensor, Tensor)",
    kernel=_forward,
    fake=_forward_without_memory,
    autograd=_differentiable,
    vmap=_mapped(lambda: _STEP, 2),
)
_STEP_BACKWARD = define(
    f"lif_step_backward(Tensor membranes, Tensor spikes, Tensor carry, {SCHEMA}, str backend) -> (Tensor, Tensor)",
    kernel=_backward,
    fake=_backward_without_memory,
    autograd=differentiable(_Gradient),
    vmap=_mapped(lambda: _STEP_BACKWARD, 3),
)
for _device in ("cpu", "cuda"):  # under autocast, halves are cast up
    torch.library.register_autocast("edgebook::lif_step", _device, torch.float32, lib=LIBRARY)
