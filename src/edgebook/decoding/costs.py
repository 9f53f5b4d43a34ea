"""What a text costs: closed forms of its latency, API tokens and calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from edgebook.decoding.cloud import Outcome
from edgebook.decoding.generation import DraftRound
from edgebook.decoding.timeline import Times


def round_seconds(times: Times, drafted: int, hit_rate: float = 0.0) -> float:
    r"""Return the mean time of a round, in closed form.

    .. math:: R = g T_d + T_\uparrow + T_v + T_A + T_\downarrow - h \min\left(g T_d,\ (1 - e) T_v\right)

    Parameters
    ----------
    times : Times
        With one exit at share `e` of the pass, or none; without, :math:`T_A = h = 0`.
    drafted, hit_rate : int, float
        Tokens `g` of a draft, and share `h` of rounds whose draft was begun when the exit's outcome was at the edge.

    Returns
    -------
    float
        Seconds.

    Raises
    ------
    ValueError
        More than one exit, a hit rate outside [0, 1], or fewer than 0 tokens.
    """
    if len(times.exits) > 1 or not 0 <= hit_rate <= 1 or not drafted >= 0:
        raise ValueError(
            f"One exit at most, a hit rate in [0, 1] and 0 or more tokens are needed, got {times.exits}, {hit_rate} "
            f"and {drafted}."
        )
    drafting = drafted * times.draft_step
    plain = drafting + times.up + times.whole_pass + times.down
    saved = sum(min(drafting, (1 - share) * times.verify) for share in times.exits.values())
    return plain - hit_rate * saved


def alone_seconds(times: Times, tokens: int) -> float:
    """Return what the target takes for a text by itself, a token a pass, where tokens flow as they come.

    Parameters
    ----------
    times, tokens : Times, int
        Of the cloud and the network; new tokens.

    Returns
    -------
    float
        Seconds, from the request until the last token is at the edge.
    """
    return tokens * times.verify + times.up + times.down


def forced(rounds: Sequence[DraftRound], hit: bool) -> list[DraftRound]:
    """Return rounds whose exits are always right, or always wrong, with full confidence: the bounds of any exit.

    Parameters
    ----------
    rounds, hit : sequence of DraftRound, bool
        From `trace`; which of the two.

    Returns
    -------
    list of DraftRound
        Everything but the exits as it was.
    """

    def outcome(step: DraftRound, number: int) -> Outcome:
        token = step.outcome.token if hit else -2 - number  # no token at all
        return Outcome(number, False, step.outcome.accepted, token, 1.0)

    return [step._replace(exits=tuple(outcome(step, old.exit) for old in step.exits)) for step in rounds]


class ApiTokens(NamedTuple):
    """Tokens that a provider counts, read and written, and calls; one where the target writes a text by itself."""

    read: int
    written: int
    calls: int

    def price(self, per_read: float, per_written: float) -> float:
        """Return what they cost at a price for each token read and written."""
        return self.read * per_read + self.written * per_written


def api_tokens(rounds: Sequence[DraftRound], *, caching: bool) -> ApiTokens:
    """Count what a provider would charge for the verifications of a text.

    Parameters
    ----------
    rounds : sequence of DraftRound
        From `trace`.
    caching : bool
        Whether a prefix that an earlier call has read is free; otherwise each call pays for all of it again.

    Returns
    -------
    ApiTokens
        A call reads its draft, and of the text before it what is not free; it writes one token.
    """
    before = [step.position for step in rounds]
    read = before[0] if caching else sum(before)
    return ApiTokens(read + sum(step.drafted for step in rounds), len(rounds), len(rounds))
