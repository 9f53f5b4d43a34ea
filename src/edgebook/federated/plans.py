"""How the rounds of a federation go: who takes part, how answers are weighted, what goes wrong on purpose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from edgebook.federated.averaging import NoiseScale, Weighting
from edgebook.federated.checks import finite
from edgebook.federated.sampling import late_clients, sample_clients
from edgebook.measure.arguments import whole


@dataclass(frozen=True)
class RoundPlan:
    """What every round has in common; the same plan gives the same rounds in every engine.

    Parameters
    ----------
    clients, per_round, evaluated, tolerated : int
        Clients in all, those that train in a round (all of them where None), those that evaluate the new model after
        it, and those that may fail in it without ending the run.
    seed : int
        Decides who takes part, who is late and what the noise is.
    weighting : {"uniform", "samples"}
        Whether clients count alike in the average, or by their number of samples.
    stragglers : float
        Probability that a client that was drawn is late and does not count; the first one drawn never is.
        A late client is not even asked, since its answer would not be used.
    noise, noise_scale : float, {"relative", "absolute"}
        Gaussian noise on what clients send, see `noisy_updates`.
    wait : float
        Seconds to wait before the first round for all clients to connect.

    Raises
    ------
    ValueError, TypeError
        A number outside its range, NaN or infinite, a fraction of a client, or an unknown name.
    """

    clients: int
    per_round: int | None = None
    seed: int = 0
    weighting: Weighting = "uniform"
    stragglers: float = 0.0
    noise: float = 0.0
    noise_scale: NoiseScale = "relative"
    evaluated: int = 0
    tolerated: int = 0
    wait: float = 60.0

    def __post_init__(self) -> None:
        for name in ("clients", "per_round", "seed", "evaluated", "tolerated"):
            if name != "per_round" or self.per_round is not None:
                object.__setattr__(self, name, whole(name, getattr(self, name), None))
        for name in ("stragglers", "noise", "wait"):
            object.__setattr__(self, name, finite(name, getattr(self, name)))
        if self.clients < 1:
            raise ValueError(f"A federation needs at least one client, got {self.clients}.")
        if not 1 <= self.drawn <= self.clients:
            raise ValueError(f"per_round must lie between 1 and the {self.clients} clients, got {self.per_round}.")
        if not 0 <= self.evaluated <= self.clients:
            raise ValueError(f"evaluated must lie between 0 and the {self.clients} clients, got {self.evaluated}.")
        if not 0 <= self.stragglers <= 1:
            raise ValueError(f"stragglers must lie between 0 and 1, got {self.stragglers}.")
        if min(self.seed, self.tolerated, self.wait, self.noise) < 0:
            raise ValueError("seed, noise, tolerated and wait must be at least 0.")
        for name, allowed in (("weighting", Weighting), ("noise_scale", NoiseScale)):
            if getattr(self, name) not in get_args(allowed):
                raise ValueError(f"{name} must be one of {', '.join(get_args(allowed))}, got {getattr(self, name)!r}.")

    @property
    def drawn(self) -> int:
        """Clients drawn for a round."""
        return self.clients if self.per_round is None else self.per_round

    def trained(self, server_round: int) -> list[int]:
        """Return the clients that train in a round and answer in time, in the order of partitions."""
        chosen = sample_clients(self.clients, self.drawn, seed=self.seed, server_round=server_round)
        late = late_clients(chosen, self.stragglers, seed=self.seed, server_round=server_round)
        return sorted(set(chosen) - set(late))

    def tested(self, server_round: int) -> list[int]:
        """Return the clients that evaluate after a round, in the order of partitions."""
        key = {"seed": self.seed, "server_round": server_round, "purpose": "evaluation"}
        return sorted(sample_clients(self.clients, self.evaluated, **key))
