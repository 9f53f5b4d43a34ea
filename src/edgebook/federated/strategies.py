"""Flower's strategies with rounds that repeat, and with failures that are heard.

`FedAvg` here, and Flower's `FedAdam`, `FedYogi` and `FedAdagrad` on top of it, differ from Flower's own in this:
clients are drawn by partition from a seed; answers are averaged in the order of partitions; a client that fails ends
the run with an error that names it, unless so many failures are tolerated; integer arrays are left alone; and types
stay what they were (Flower's adaptive optimisers return double precision).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp import strategy as flower

from edgebook.federated.averaging import STATISTICS, average, average_metrics, client_weights, noisy_updates
from edgebook.federated.plans import RoundPlan
from edgebook.federated.records import Arrays, to_arrays, to_record
from edgebook.federated.replies import ClientError, Failure, Update, collect
from edgebook.federated.sampling import Directory


class _Planned(flower.FedAvg):
    """The rounds of a plan; what Flower's optimisers are put on top of."""

    plan: RoundPlan

    def _begin(self, plan: RoundPlan) -> None:
        self.plan, self.failures = plan, list[Failure]()
        self._directory, self._waited = Directory(plan.clients), False
        self._asked: dict[int, Message] = {}  # partition -> what its node was sent
        self._absent: list[Failure] = []
        self._sent: Arrays = {}
        self._timeout = "in time"

    def summary(self) -> None:
        """Say nothing: the plan is the caller's."""

    def start(self, grid: Grid, initial_arrays: ArrayRecord, *args: Any, **options: Any) -> flower.Result:
        """Run the rounds as Flower does; see `flwr.serverapp.strategy.Strategy.start`."""
        timeout = options.get("timeout", args[1] if len(args) > 1 else None)
        self._timeout = f"within {timeout:g} s" if timeout else "in time"
        return super().start(grid, initial_arrays, *args, **options)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Address the clients of a round."""
        self._sent = to_arrays(arrays)
        return self._addressed(self.plan.trained(server_round), MessageType.TRAIN, server_round, arrays, config, grid)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Address the clients that evaluate."""
        return self._addressed(self.plan.tested(server_round), MessageType.EVALUATE, server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Average the models of a round."""
        updates = self._heard(server_round, replies, self._sent)
        plan = self.plan
        updates = noisy_updates(
            updates, self._sent, plan.noise, seed=plan.seed, server_round=server_round,
            scale=plan.noise_scale,
        )  # fmt: skip
        weights = client_weights(updates, plan.weighting)
        self._mean = average([update.arrays for update in updates], weights, self._sent)
        return to_record(self._mean), MetricRecord(average_metrics(updates, weights))

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Average what clients measured."""
        if not self.plan.evaluated:
            return None
        updates = self._heard(server_round, replies, None)
        return MetricRecord(average_metrics(updates, client_weights(updates, self.plan.weighting)))

    def _addressed(
        self, clients: list[int], kind: str, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """Return the messages to the clients that are connected."""
        if not clients:
            self._asked, self._absent = {}, []
            return []
        nodes = self._directory.connected(grid, wait=0.0 if self._waited else self.plan.wait)
        self._waited = True
        self._absent = [
            Failure(server_round, client, "it is not connected") for client in clients if client not in nodes
        ]
        config["server-round"] = server_round  # Flower's strategies do so too
        content = RecordDict({"arrays": arrays, "config": config})
        self._asked = {
            client: Message(content, nodes[client], kind, group_id=str(server_round))
            for client in clients
            if client in nodes
        }
        return list(self._asked.values())

    def _heard(self, server_round: int, replies: Iterable[Message], sent: Arrays | None) -> list[Update]:
        """Return the updates of a round, or raise if more clients failed than are tolerated."""
        updates, failures = collect(replies, self._asked, server_round=server_round, sent=sent, timeout=self._timeout)
        failures = sorted([*self._absent, *failures], key=lambda failure: failure.client)
        self.failures += failures
        if failures and (len(failures) > self.plan.tolerated or not updates):
            raise ClientError(failures[0])
        return updates


class FedAvg(_Planned):
    """Federated averaging over the rounds of a plan.

    Source: McMahan et al., *Communication-Efficient Learning of Deep Networks from Decentralized Data*,
    arXiv 1602.05629.

    Parameters
    ----------
    plan : RoundPlan
        Who takes part, how clients are weighted, and what goes wrong on purpose.
    """

    def __init__(self, plan: RoundPlan) -> None:
        super().__init__()
        self._begin(plan)


class _Stepped:
    """What Flower's adaptive optimisers leave to be put right: counters, running statistics and types."""

    def __init__(self, plan: RoundPlan, **options: float) -> None:
        super().__init__(**options)
        self._begin(plan)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Step along the mean update."""
        record, metrics = super().aggregate_train(server_round, replies)
        stepped, mean = to_arrays(record), self._mean
        kept = {
            name: mean[name] if array.dtype.kind != "f" or name.endswith(STATISTICS) else stepped[name]
            for name, array in self._sent.items()
        }
        return to_record({name: kept[name].astype(array.dtype) for name, array in self._sent.items()}), metrics


class FedAdam(_Stepped, flower.FedAdam, _Planned):
    """Adam on the server, as Flower has it, over the rounds of a plan.

    Source: Reddi et al., *Adaptive Federated Optimization*, arXiv 2003.00295. Flower corrects the bias of both moments
    as if the first round were the second. The options are its own: `eta`, `beta_1`, `beta_2` and `tau`.

    Examples
    --------
    >>> strategy = FedAdam(RoundPlan(10, per_round=3, seed=1), eta=0.1)
    >>> strategy.plan.trained(1)  # the clients of the first round
    [3, 5, 8]
    """


class FedYogi(_Stepped, flower.FedYogi, _Planned):
    """Yogi on the server, as Flower has it, over the rounds of a plan; otherwise as `FedAdam`.

    Examples
    --------
    >>> FedYogi(RoundPlan(10), eta=0.1).beta_1
    0.9
    """


class FedAdagrad(_Stepped, flower.FedAdagrad, _Planned):
    """Adagrad on the server, as Flower has it, over the rounds of a plan; as `FedAdam`, but without `beta_1`, `beta_2`.

    Examples
    --------
    >>> FedAdagrad(RoundPlan(10), eta=0.1).tau
    0.001
    """
