r"""One step of the neuron, for networks in which the next current depends on the last spikes, such as feedback.

.. math:: h_t = c_{t-1} + g\,I_t, \qquad s_t = 1[h_t > \theta]

`edgebook.spiking.lif` takes all currents at once; here :math:`c_{t-1}`, what the last step has left of the membrane, is
handed in and :math:`c_t` handed out; `edgebook.spiking.neuron.convention` has the formulas.
"""

from __future__ import annotations

from torch import Tensor

from edgebook.spiking.neuron.convention import Convention, Reset
from edgebook.spiking.neuron.lif import LIF
from edgebook.spiking.neuron.recurrence import Backend
from edgebook.spiking.neuron.step_operator import step
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
