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

from edgebook.federated.averaging import average, average_metrics, client_weights, noisy_updates
from edgebook.federated.checks import limit
from edgebook.federated.plans import RoundPlan
from edgebook.federated.records import Arrays, to_arrays, to_record, unusable
from edgebook.federated.replies import ClientError, Failure, Update, collect
from edgebook.federated.sampling import Directory
from edgebook.measure.arguments import whole


class Planned(flower.FedAvg):
    """The rounds of a plan; what Flower's optimisers are put on top of."""

    plan: RoundPlan

    def _begin(self, plan: RoundPlan) -> None:
        if not isinstance(plan, RoundPlan):
            raise TypeError(f"{type(self).__name__} follows a RoundPlan, got {plan!r}.")
        self.plan, self.failures = plan, list[Failure]()
        self._directory, self._waited = Directory(plan.clients), False
        self._asked: dict[int, Message] = {}  # partition -> what its node was sent
        self._absent: list[Failure] = []
        self._untold: dict[str, Failure] = {}  # message -> failure that the grid will tell of unless it is taken out
        self._sent: Arrays = {}
        self._timeout = "in time"

    def summary(self) -> None:
        """Say nothing: the plan is the caller's."""

    def start(
        self, grid: Grid, initial_arrays: ArrayRecord, num_rounds: int = 3, timeout: float | None = 3600, *args: Any,
        **options: Any,
    ) -> flower.Result:  # fmt: skip
        """Run the rounds as Flower does; see `flwr.serverapp.strategy.Strategy.start`."""
        num_rounds, seconds = whole("num_rounds", num_rounds, least=1), limit(timeout)
        self._timeout = f"within {seconds:g} s" if seconds else "in time"
        return super().start(grid, initial_arrays, num_rounds, timeout, *args, **options)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Address the clients of a round."""
        self._sent = to_arrays(arrays)
        self._checked(self._sent, server_round - 1)
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
        self._checked(self._mean, server_round)
        return to_record(self._offered(self._mean)), MetricRecord(average_metrics(updates, weights))

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Average what clients measured."""
        if not self.plan.evaluated:
            return None
        updates = self._heard(server_round, replies, None)
        return MetricRecord(average_metrics(updates, client_weights(updates, self.plan.weighting)))

    def _offered(self, mean: Arrays) -> Arrays:
        """Return what an optimiser steps along."""
        return mean

    def _checked(self, arrays: Arrays, after: int) -> None:
        """Raise a ValueError if the server's own model cannot be sent or kept."""
        if problem := unusable(arrays, arrays) or ("" if arrays else "it has no array"):
            raise ValueError(f"The server's model after round {after} is of no use: {problem}.")

    def _addressed(
        self, clients: list[int], kind: str, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """Return the messages to the clients that are connected."""
        self._untold = getattr(grid, "failures", {})
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
        updates, failures = collect(
            replies, self._asked, server_round=server_round, sent=sent, timeout=self._timeout,
            samples=self.plan.weighting == "samples",
        )  # fmt: skip
        failures = sorted([*self._absent, *failures], key=lambda failure: failure.client)
        self.failures += failures
        for message in self._asked.values():
            self._untold.pop(message.metadata.message_id, None)
        if failures and (len(failures) > self.plan.tolerated or not updates):
            error = ClientError(failures[0])
            for other in failures[1:]:
                error.add_note(str(other))
            raise error
        return updates


class FedAvg(Planned):
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
