"""A federation in which each client keeps some attention heads, trains and sends these, and is asked before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType
from flwr.serverapp import Grid
from numpy.typing import NDArray

from edgebook.federated.head_scores import Merging, head_weights
from edgebook.federated.heads import merge_heads, pack, put_heads, take_heads, unpack
from edgebook.federated.parts import FedParts
from edgebook.federated.plans import RoundPlan
from edgebook.federated.records import Arrays, to_arrays
from edgebook.federated.replies import EXAMPLES, Update
from edgebook.federated.sampling import sample_clients
from edgebook.federated.selection import Selection, choose
from edgebook.measure.arguments import whole

QUESTION = "query.score"


class FedHeads(FedParts):
    """Federated averaging of LoRA head by head.

    A client that may train is asked first, with the message "query.score", for `confidence`, a number for each head
    (-1 where there is none), `loss` and `num-examples`: without arrays where the untuned network is meant, and with the
    whole LoRA where it is asked anew in each round. It is then sent the LoRA of the heads that it keeps as one vector,
    `lora`, and its mask as bits, `keep`; it returns the same, with `num-examples` and the `loss` after its training.

    Parameters
    ----------
    plan : RoundPlan
    paths : sequence of str
        `attention_paths` of the model.
    guide : callable
        Maps a client and its confidence (attentions, heads) to the mask of the heads that it keeps.
    merging : {"weighted", "plain", "zero-filled"}
        See `head_weights`.
    selection : {"uniform", "loss", "gap", "cover"}
        Who trains: the clients that the plan draws, or the best of so many candidates by `choose`.
    candidates : int, optional
        Clients among which is chosen; all where None.
    anew : bool
        Whether confidence is asked in each round, by the LoRA of that round, as losses always are.

    Examples
    --------
    >>> strategy = FedHeads(RoundPlan(2), ["block"], lambda client, confidence: confidence > 0.5)
    >>> strategy.confidence[0] = np.array([[0.2, 0.8]])
    >>> strategy.send(1, 0, {"block.q.lora_B.weight": np.arange(2.0).reshape(2, 1)})
    {'lora': array([1.], dtype=float32), 'keep': array([64], dtype=uint8)}
    """

    def __init__(
        self,
        plan: RoundPlan,
        paths: Sequence[str],
        guide: Callable[[int, NDArray], NDArray[np.bool_]],
        *,
        merging: Merging = "weighted",
        selection: Selection | Literal["uniform"] = "uniform",
        candidates: int | None = None,
        anew: bool = False,
    ) -> None:
        super().__init__(plan)
        self.paths, self.guide, self.merging, self.selection = paths, guide, merging, selection
        self.candidates = whole("candidates", plan.clients if candidates is None else candidates, 1, plan.clients)
        self.anew = anew or selection in ("loss", "gap")
        self.confidence: dict[int, NDArray] = {}  # client -> (attentions, heads)
        self.masks: dict[int, NDArray[np.bool_]] = {}  # as last sent
        self.shares: list[NDArray] = []  # of each round, (clients, attentions, heads)
        self._losses: dict[int, tuple[float, float]] = {}  # client -> before and after its last training

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Address the clients of a round, after a question to those that may take part."""
        self._sent = to_arrays(arrays)
        self._checked(self._sent, server_round - 1)
        clients = self._chosen(server_round, arrays, config, grid)
        return self._addressed(clients, MessageType.TRAIN, server_round, arrays, config, grid)

    def _chosen(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid) -> list[int]:
        """Ask the clients that may train, and return those that do."""
        plan = self.plan
        drawn = plan.trained(server_round)
        if self.selection != "uniform":
            drawn = sorted(sample_clients(plan.clients, self.candidates, seed=plan.seed, server_round=server_round))
        due = [client for client in drawn if self.anew or client not in self.confidence]
        self._ask(due, server_round, arrays if self.anew else ArrayRecord(), config, grid)
        if self.selection == "uniform":
            return drawn
        if self.selection == "cover":
            told = np.stack([self.confidence[client].ravel() for client in drawn])
        else:
            told = np.array([self._losses[client] for client in drawn])  # (clients, before and after)
            told = told[:, 0] - (told[:, 1] if self.selection == "gap" else 0)
        return sorted(drawn[place] for place in choose(self.selection, told, plan.drawn))

    def _ask(
        self, clients: list[int], server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> None:
        """Put the question to clients and keep what they say."""
        messages = super(FedParts, self)._addressed(clients, QUESTION, server_round, arrays, config, grid)
        replies = list(grid.send_and_receive(messages)) if messages else []
        for update in super(FedParts, self)._heard(server_round, replies, None) if messages else ():
            told = np.asarray(update.metrics["confidence"], np.float64)
            self.confidence[update.client] = np.where(told < 0, np.nan, told).reshape(len(self.paths), -1)
            after = self._losses.get(update.client, (0.0, -np.inf))[1]  # who has never trained gains most
            self._losses[update.client] = float(update.metrics["loss"]), after

    def send(self, server_round: int, client: int, arrays: Arrays) -> Arrays:
        """Return the heads that a client keeps, and which they are."""
        self.masks[client] = mask = np.asarray(self.guide(client, self.confidence[client]), bool)
        return {"lora": pack(take_heads(arrays, mask, self.paths)), "keep": np.packbits(mask)}

    def read(self, server_round: int, client: int, answer: Arrays, arrays: Arrays) -> Arrays:
        """Return an answer in the shapes of the whole LoRA, masked where heads are missing."""
        mask = self.masks[client]
        part = unpack(answer["lora"], take_heads(arrays, mask, self.paths))
        return put_heads(part, mask, self.paths, arrays)

    def merge(self, server_round: int, updates: Sequence[Update], weights: Sequence[float], arrays: Arrays) -> Arrays:
        """Merge head by head; what is shared by heads counts by the weights of the plan."""
        for update in updates:
            before = self._losses[update.client][0]
            self._losses[update.client] = before, float(update.metrics["loss"])
        who = [update.client for update in updates]
        self.shares.append(
            head_weights(
                [update.metrics[EXAMPLES] for update in updates],
                [self.confidence[client] for client in who],
                [self.masks[client] for client in who],
                merging=self.merging,
            )
        )
        return merge_heads([update.arrays for update in updates], self.shares[-1], weights, arrays, self.paths)
