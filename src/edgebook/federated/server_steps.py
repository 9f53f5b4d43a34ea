"""Adaptive server optimisation as its paper has it: a step along the mean update instead of to the mean model.

Flower's own `FedAdam`, `FedYogi` and `FedAdagrad` (see `adaptive`) start the second moment at 0, and its Adam corrects
the bias of both moments as if a round had gone before. Here the second moment starts at the square of `tau` and
nothing is corrected, and arrays that nobody returned in a round neither move nor lose their moments.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from edgebook.federated.averaging import STATISTICS
from edgebook.federated.checks import finite
from edgebook.federated.parts import FedParts
from edgebook.federated.plans import RoundPlan
from edgebook.federated.records import Arrays, mismatch
from edgebook.federated.replies import Update

ServerRule = Literal["average", "momentum", "adagrad", "adam", "yogi"]


class ServerState(NamedTuple):
    """Both moments of the updates so far, in double precision, of the arrays that have been stepped along."""

    first: Arrays
    second: Arrays


def server_step(
    rule: ServerRule,
    current: Arrays,
    mean: Arrays,
    state: ServerState | None = None,
    *,
    eta: float = 1.0,
    beta_1: float = 0.9,
    beta_2: float = 0.99,
    tau: float = 1e-3,
) -> tuple[Arrays, ServerState]:
    r"""Move the server's model along the mean update of a round.

    .. math::
        \Delta &= \bar\theta - \theta, \qquad v_0 = \tau^2, \qquad m_0 = 0 \\
        m &\leftarrow \beta_1 m + (1 - \beta_1) \Delta \\
        v &\leftarrow v + \Delta^2 \ \text{(adagrad)}, \quad
        \beta_2 v + (1 - \beta_2) \Delta^2 \ \text{(adam)}, \quad
        v - (1 - \beta_2) \Delta^2 \operatorname{sign}(v - \Delta^2) \ \text{(yogi)} \\
        \theta &\leftarrow \theta + \eta\, m / (\sqrt v + \tau)

    The rule "average" adds :math:`\eta \Delta`, which is federated averaging where :math:`\eta` is 1; "momentum" adds
    :math:`\eta m` with :math:`m \leftarrow \beta_1 m + \Delta`.
    Source: Reddi et al., *Adaptive Federated Optimization*, arXiv 2003.00295; momentum: Hsu et al., arXiv 1909.06335.

    Parameters
    ----------
    rule : {"average", "momentum", "adagrad", "adam", "yogi"}
    current, mean : dict of str to ndarray
        The server's model, and the mean of what clients returned; an array that it does not hold stays as it is.
    state : ServerState, optional
        What the round before has returned; None begins anew.
    eta, tau : float
        The server's rate, and how adaptive the step is, the less the larger; both above 0.
    beta_1, beta_2 : float
        Decay of the moments, in [0, 1). Adagrad is usually run with a `beta_1` of 0, and knows no `beta_2`.

    Returns
    -------
    dict of str to ndarray, ServerState
        All arrays in the types of the current model. Running statistics take their mean and get no step, and whole
        numbers stay as they are.

    Raises
    ------
    ValueError, TypeError
        An unknown rule, a number outside its range, or an array that the current model does not have, that has another
        shape or type, or that is complex.

    Examples
    --------
    >>> current, mean = {"w": np.zeros(2)}, {"w": np.array([1.0, -4.0])}
    >>> moved, state = server_step("adam", current, mean, eta=0.1)
    >>> moved["w"].round(3)  # about eta (1 - beta_1) / sqrt(1 - beta_2), however large the update
    array([ 0.099, -0.1  ])
    """
    _check(rule, eta, beta_1, beta_2, tau)
    if unknown := sorted(mean.keys() - current.keys()):
        raise ValueError(f"The mean holds {unknown}, which the current model does not have.")
    if problem := mismatch(mean, {name: current[name] for name in mean}):
        raise ValueError(f"The mean is no version of the current model: {problem}.")
    first, second = (dict(state.first), dict(state.second)) if state else ({}, {})
    moved = {}
    for name, array in current.items():
        if name not in mean or array.dtype.kind in "iub":
            moved[name] = array.copy()
        elif array.dtype.kind == "c":
            raise ValueError(f"A server steps along real arrays alone, and '{name}' is {array.dtype}.")
        elif name.endswith(STATISTICS) or (rule == "average" and eta == 1):
            moved[name] = mean[name].astype(array.dtype)
        else:
            delta = mean[name].astype(np.float64) - array
            m, v = first.get(name, np.zeros(array.shape)), second.get(name, np.full(array.shape, tau**2))
            step, first[name], second[name] = _step(rule, delta, m, v, beta_1, beta_2, tau)
            with np.errstate(over="ignore"):  # who keeps the model says so
                moved[name] = (array + eta * step).astype(array.dtype)
    return moved, ServerState(first, second)


def _step(
    rule: ServerRule, delta: NDArray, m: NDArray, v: NDArray, beta_1: float, beta_2: float, tau: float
) -> tuple[NDArray, NDArray, NDArray]:
    """Return the step for a rate of 1, and both moments."""
    if rule == "average":
        return delta, m, v
    if rule == "momentum":
        m = beta_1 * m + delta
        return m, m, v
    square = delta * delta
    m = beta_1 * m + (1 - beta_1) * delta
    if rule == "adagrad":
        v = v + square
    elif rule == "adam":
        v = beta_2 * v + (1 - beta_2) * square
    else:
        v = v - (1 - beta_2) * square * np.sign(v - square)
    return m / (np.sqrt(v) + tau), m, v


def _check(rule: str, eta: float, beta_1: float, beta_2: float, tau: float) -> None:
    if rule not in get_args(ServerRule):
        raise ValueError(f"rule must be one of {', '.join(get_args(ServerRule))}, got {rule!r}.")
    finite("eta", eta, above=0), finite("tau", tau, above=0)
    for name, beta in (("beta_1", beta_1), ("beta_2", beta_2)):
        if not 0 <= finite(name, beta) < 1:
            raise ValueError(f"{name} must lie between 0 and 1, 1 excluded, got {beta}.")


class FedStep(FedParts):
    """Federated optimisation over the rounds of a plan: `server_step` from what clients returned.

    Only arrays that somebody returned in a round are stepped along. Single values of a masked array that nobody
    returned count as an update of 0, so that momentum moves them.

    Parameters
    ----------
    plan : RoundPlan
        Who takes part, how clients are weighted, and what goes wrong on purpose.
    rule, eta, beta_1, beta_2, tau
        As in `server_step`.
    anew : collection of int
        Rounds before which the moments are forgotten, for example those in which clients change their task.

    Examples
    --------
    >>> strategy = FedStep(RoundPlan(10), "yogi", eta=0.03, anew=range(1, 41, 4))
    >>> strategy.state is None  # until the first round is over
    True
    """

    def __init__(
        self,
        plan: RoundPlan,
        rule: ServerRule,
        *,
        eta: float = 1.0,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        tau: float = 1e-3,
        anew: Collection[int] = (),
    ) -> None:
        super().__init__(plan)
        _check(rule, eta, beta_1, beta_2, tau)
        self.rule, self.anew = rule, anew
        self.options = {"eta": eta, "beta_1": beta_1, "beta_2": beta_2, "tau": tau}
        self.state: ServerState | None = None

    def merge(self, server_round: int, updates: Sequence[Update], weights: Sequence[float], arrays: Arrays) -> Arrays:
        """Step along the mean of each array over those who returned it."""
        mean = super().merge(server_round, updates, weights, arrays)
        returned = {name for update in updates for name in update.arrays}
        kept = None if server_round in self.anew else self.state
        held = {name: array for name, array in mean.items() if name in returned}
        moved, self.state = server_step(self.rule, arrays, held, kept, **self.options)
        return moved
