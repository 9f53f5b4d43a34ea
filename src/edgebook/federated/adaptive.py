"""Flower's adaptive optimisers over the rounds of a plan, and what they leave to be put right."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp import strategy as flower

from edgebook.federated.averaging import STATISTICS
from edgebook.federated.checks import finite
from edgebook.federated.plans import RoundPlan
from edgebook.federated.records import Arrays, to_arrays, to_record
from edgebook.federated.strategies import Planned


class _Stepped:
    """What Flower's adaptive optimisers leave to be put right: counters, running statistics and types."""

    def __init__(self, plan: RoundPlan, **options: float) -> None:
        _check_options(type(self).__name__, inspect.signature(super().__init__), options)
        super().__init__(**options)
        self._begin(plan)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Address the clients of a round."""
        messages = super().configure_train(server_round, arrays, config, grid)
        for name, array in self._sent.items():
            if array.dtype.kind == "c":
                raise ValueError(f"{type(self).__name__} steps along real arrays alone, and '{name}' is {array.dtype}.")
        self.current_arrays = self._offered(self._sent)
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Step along the mean update."""
        record, metrics = super().aggregate_train(server_round, replies)
        with np.errstate(over="ignore"):
            moved = {name: array.astype(self._sent[name].dtype) for name, array in to_arrays(record).items()}
        self._checked(stepped := self._mean | moved, server_round)
        return to_record(stepped), metrics

    def _offered(self, mean: Arrays) -> Arrays:
        return {name: a for name, a in mean.items() if a.dtype.kind == "f" and not name.endswith(STATISTICS)}


def _check_options(strategy: str, taken: inspect.Signature, options: dict[str, float]) -> None:
    """Refuse options that the plan overrules or that do nothing, and numbers with which no step can be made."""
    planned = {*inspect.signature(flower.FedAvg).parameters, "eta_l"}  # Flower only prints the clients' rate
    allowed = sorted(taken.parameters.keys() - planned)
    if refused := sorted(options.keys() - set(allowed)):
        raise TypeError(
            f"{strategy} takes a plan and {', '.join(allowed)}, and no {', '.join(refused)}: who takes part and how "
            "answers are read and weighted is in the plan, and clients have rates of their own."
        )
    for name, value in options.items():
        share = name.startswith("beta")
        if finite(name, value, above=None if share else 0) and share and not 0 <= value < 1:
            raise ValueError(f"{name} must lie between 0 and 1, 1 excluded, got {value}.")


class FedAdam(_Stepped, flower.FedAdam, Planned):
    """Adam on the server, as Flower has it, over the rounds of a plan.

    Source: Reddi et al., *Adaptive Federated Optimization*, arXiv 2003.00295. Flower corrects the bias of both moments
    as if the first round were the second. The options are its own: `eta`, `beta_1`, `beta_2` and `tau`.

    Examples
    --------
    >>> strategy = FedAdam(RoundPlan(10, per_round=3, seed=1), eta=0.1)
    >>> strategy.plan.trained(1)  # the clients of the first round
    [3, 5, 8]
    """


class FedYogi(_Stepped, flower.FedYogi, Planned):
    """Yogi on the server, as Flower has it, over the rounds of a plan; otherwise as `FedAdam`.

    Examples
    --------
    >>> FedYogi(RoundPlan(10), eta=0.1).beta_1
    0.9
    """


class FedAdagrad(_Stepped, flower.FedAdagrad, Planned):
    """Adagrad on the server, as Flower has it, over the rounds of a plan; as `FedAdam`, but without `beta_1`, `beta_2`.

    Examples
    --------
    >>> FedAdagrad(RoundPlan(10), eta=0.1).tau
    0.001
    """
