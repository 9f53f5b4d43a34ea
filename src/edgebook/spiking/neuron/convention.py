r"""What a leaky integrate-and-fire neuron does: the choices by which papers and libraries differ, in one place.

With leak :math:`\beta`, threshold :math:`\theta` and gain :math:`g` (1, or :math:`1 - \beta` for scaled inputs):

.. math:: h_t = c_{t-1} + g\,I_t, \qquad s_t = 1[h_t > \theta], \qquad c_0 = 0

and what is carried into the next step is

============================ ===============================================
reset                        :math:`c_t`
============================ ===============================================
`zero`                       :math:`\beta\,h_t\,(1 - s_t)`
`subtract`                   :math:`\beta\,(h_t - \theta s_t)`
`subtract`, delayed          :math:`\beta\,h_t - \theta s_t`
`none`                       :math:`\beta\,h_t`
============================ ===============================================
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real
from typing import Literal, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edgebook.spiking.neuron.choice import one_of
from edgebook.spiking.neuron.surrogates import KINDS, Kind, Surrogate

Reset = Literal["zero", "subtract", "none"]
SWITCHES = ("scale_input", "relative", "strict", "detach_reset", "delay")
# The numbers of a convention as arguments of an operator, in the order of `Convention.arguments`.
SCHEMA = "float beta, float threshold, str reset, str surrogate, float height, float steepness, " + ", ".join(
    f"bool {name}" for name in SWITCHES
)


@dataclass(frozen=True)
class Convention:
    """One neuron model; `edgebook.spiking.lif` explains each field."""

    beta: float
    threshold: float
    reset: Reset
    scale_input: bool
    surrogate: Surrogate
    relative: bool
    strict: bool
    detach_reset: bool
    delay: bool

    def __post_init__(self) -> None:
        for name in ("beta", "threshold"):
            value = getattr(self, name)
            if not isinstance(value, Real):  # a tensor may want a gradient, and would get none
                raise ValueError(f"{name} must be a number, got a {type(value).__name__}.")
            object.__setattr__(self, name, float(value))
        for name in SWITCHES:
            value = getattr(self, name)
            if not isinstance(value, bool | np.bool_):
                raise ValueError(f"{name} must be True or False, got {value!r}.")
            object.__setattr__(self, name, bool(value))
        if not 0 <= self.beta <= 1:
            raise ValueError(f"beta must lie between 0 and 1, got {self.beta}.")
        if not (math.isfinite(self.threshold) and self.threshold > 0):
            raise ValueError(f"threshold must be a finite number above 0, got {self.threshold}.")
        one_of("reset", self.reset, get_args(Reset))
        if not isinstance(self.surrogate, Surrogate):
            raise ValueError("surrogate must come from edgebook.spiking.atan, fast_sigmoid or triangular.")

    @property
    def gain(self) -> float:
        """What the current is multiplied by."""
        return 1 - self.beta if self.scale_input else 1.0

    @property
    def kind(self) -> int:
        """Number of the surrogate's form."""
        return KINDS.index(self.surrogate.kind)

    @property
    def arguments(self) -> tuple[float | str | bool, ...]:
        """What an operator is told of it, number by number; `from_arguments` is the way back."""
        bump = self.surrogate
        described = self.beta, self.threshold, self.reset, bump.kind, bump.height, bump.steepness
        return (*described, self.scale_input, self.relative, self.strict, self.detach_reset, self.delay)


@lru_cache(maxsize=256)
def from_arguments(
    beta: float, threshold: float, reset: Reset, kind: Kind, height: float, steepness: float, *switches: bool
) -> Convention:
    """Return the convention of these arguments."""
    bump = Surrogate(kind, height, steepness)
    return Convention(beta, threshold, reset, surrogate=bump, **dict(zip(SWITCHES, switches, strict=True)))


@lru_cache(maxsize=256)
def constants(convention: Convention, dtype: DTypeLike) -> NDArray[np.floating]:
    """Return the numbers that the recurrence computes with, in the precision of its arrays.

    The three resets share one formula, `decay * (h * (1 - hard * s) - soft * s) - late * s`, whose unused terms
    vanish exactly. "At least the threshold" is "above the next smaller number", so one comparison serves all neurons.
    """
    precision = np.dtype(dtype).type
    threshold = precision(convention.threshold)
    subtract = threshold if convention.reset == "subtract" else precision(0)
    unit = 1 / convention.threshold if convention.relative else 1.0
    numbers = np.array(
        [
            convention.beta,  # 0 decay
            convention.gain,  # 1 scale
            threshold,  # 2
            threshold if convention.strict else np.nextafter(threshold, precision(-np.inf)),  # 3 gate
            convention.reset == "zero",  # 4 hard
            0 if convention.delay else subtract,  # 5 soft
            subtract if convention.delay else 0,  # 6 late
            1,  # 7 one
            not convention.detach_reset,  # 8 attached
            unit,  # 9
            convention.surrogate.height,  # 10
            convention.surrogate.steepness,  # 11
        ],
        dtype=precision,
    )
    numbers.flags.writeable = False
    return numbers
