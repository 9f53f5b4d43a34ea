"""Leaky integrate-and-fire neurons over whole sequences.

A sequence is a tensor (T, B, ...): T steps of a batch of B samples. Whatever has no memory (convolutions,
pooling) runs once on its T * B flattened samples; only the neuron walks through time.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from torch import Tensor, nn

from edgebook.spiking.neuron.convention import Convention, Reset
from edgebook.spiking.neuron.operator import run
from edgebook.spiking.neuron.recurrence import Backend
from edgebook.spiking.neuron.surrogates import Surrogate, atan

_ATAN = atan()


def beta_of(tau: float) -> float:
    r"""Leak of a time constant, :math:`\beta = 1 - 1 / \tau`.

    The update :math:`h_t = v_{t-1} + (I_t - v_{t-1}) / \tau` is that of this leak with `scale_input`.

    Parameters
    ----------
    tau : float, time constant in steps, at least 1

    Returns
    -------
    float, the leak, in [0, 1)

    Raises
    ------
    ValueError
        The time constant is below 1.

    Examples
    --------
    >>> beta_of(4.0)
    0.75
    """
    if not tau >= 1:
        raise ValueError(f"tau must be at least 1, got {tau}.")
    return 1 - 1 / tau


def lif(
    currents: Tensor,
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
    membranes: bool = False,
    backend: Backend = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    r"""Spikes of leaky integrate-and-fire neurons, all steps at once.

    .. math:: h_t = c_{t-1} + g I_t, \qquad s_t = 1[h_t > \theta]

    where :math:`c_t` is what the reset leaves of :math:`\beta h_t`; see `edgebook.spiking.neuron.convention`.
    Where a membrane is NaN, so is its spike, at this step and after it and never before; an infinite one fires or is
    silent, and a reset to zero leaves NaN of it. Under `torch.autocast` half-precision currents are cast to float32.

    Parameters
    ----------
    currents : Tensor, (T, ...), input currents `I`, float32 or float64; steps along the first axis, at least one
    beta : float, share of the membrane that is left after a step, in [0, 1]
    threshold : float, :math:`\theta`, above zero
    reset : {"zero", "subtract", "none"}, what a spike does to the membrane
    scale_input : bool, whether the current is multiplied by :math:`1 - \beta`; the membrane is then its running mean
    surrogate : Surrogate, stands in for the derivative of the spike: `atan()`, `fast_sigmoid()` or `triangular()`
    relative : bool, whether the surrogate sees :math:`h / \theta - 1` instead of :math:`h - \theta`
    strict : bool, whether a membrane at the threshold stays silent (as in snnTorch) or fires (as in SpikingJelly)
    detach_reset : bool, whether gradients ignore that the reset depends on the spike
    delay : bool, whether a subtraction comes one step later, after the leak, as in snnTorch
    membranes : bool, whether to return the membranes as well
    backend : {"auto", "numba", "triton", "torch", "steps"}
        "auto" is "numba" on a CPU and "triton" on a GPU where installed, else "torch"; "steps" has second derivatives.

    Returns
    -------
    Tensor or tuple of two Tensors, (T, ...), spikes, 0 or 1, and on request the membranes :math:`h_t`, before any reset

    Raises
    ------
    ValueError
        A parameter outside its range, currents of another type or without a step, or a backend that cannot be had.
    TypeError
        Currents that are no tensor.

    Examples
    --------
    >>> lif(torch.tensor([0.6, 0.6, 0.6]), beta=1.0)
    tensor([0., 1., 0.])
    """
    convention = Convention(beta, threshold, reset, scale_input, surrogate, relative, strict, detach_reset, delay)
    return run(currents, convention, backend, membranes)


def integrate(currents: Tensor, beta: float = 1.0, *, scale_input: bool = False, backend: Backend = "auto") -> Tensor:
    r"""Membranes of neurons that never spike, all steps at once: a read-out of logits or of a regression.

    .. math:: h_t = \beta h_{t-1} + g I_t

    Parameters
    ----------
    currents : Tensor, (T, ...), as in `lif`
    beta : float, share of the membrane that is left after a step, in [0, 1]; 1 sums the currents up
    scale_input : bool, whether the current is multiplied by :math:`1 - \beta`; the membrane is then its running mean
    backend : {"auto", "numba", "triton", "torch", "steps"}, as in `lif`

    Returns
    -------
    Tensor, (T, ...), the membrane after each step

    Raises
    ------
    ValueError, TypeError
        As `lif`.

    Examples
    --------
    >>> integrate(torch.tensor([1.0, 0.0, 1.0]), beta=0.5)
    tensor([1.0000, 0.5000, 1.2500])
    """
    return lif(currents, beta, reset="none", scale_input=scale_input, membranes=True, backend=backend)[1]


class LIF(nn.Module):
    """A layer of leaky integrate-and-fire neurons; takes currents (T, ...) and keeps no membrane between sequences.

    What `state_dict` returns has no tensor of it, but its `_metadata` have the neuron, and to load the state of another
    one is refused. A state without such a mark, such as ``dict(state)``, is loaded as it is.

    Parameters
    ----------
    beta, threshold, reset, scale_input, surrogate, relative, strict, detach_reset, delay, backend
        As in `lif`, with the same errors.

    Examples
    --------
    >>> LIF(0.5)(torch.tensor([0.6, 0.8, 0.6]))
    tensor([0., 1., 0.])
    """

    def __init__(
        self,
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
    ) -> None:
        super().__init__()
        self.convention = Convention(
            beta, threshold, reset, scale_input, surrogate, relative, strict, detach_reset, delay
        )
        self.backend = backend

    def forward(self, currents: Tensor, membranes: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Return the spikes, of the shape of the currents, and on request the membranes too."""
        return run(currents, self.convention, self.backend, membranes)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if hasattr(destination, "_metadata"):  # what PyTorch keeps of each module beside its tensors
            destination._metadata[prefix[:-1]]["neuron"] = asdict(self.convention)

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: dict[str, Any], strict: bool, *found: list[str]
    ) -> None:
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, *found)
        ours, saved = asdict(self.convention), local_metadata.get("neuron", {})
        if other := [name for name, value in ours.items() if saved.get(name, value) != value]:
            there, here = (", ".join(f"{name}={of[name]}" for name in other) for of in (saved, ours))
            found[-1].append(
                f"{prefix[:-1] or 'LIF'}: the state is of a neuron with {there}, and this one has {here}; dict(state) "
                "holds the tensors alone."
            )

    def extra_repr(self) -> str:
        """Return what is printed between the brackets."""
        c = self.convention
        return f"beta={c.beta:g}, threshold={c.threshold:g}, reset={c.reset!r}, surrogate={c.surrogate.kind}"
