"""Why a track belongs to an identity: the terms of the decision, and what came second. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Decision:
    """What spoke for a decision when it was made."""

    score: float = 0.0
    """In the live mode the log of how much likelier one object is than two: the sum of `terms`. For a new identity it
    is the score of the runner-up, which was too low or not clear. In the reference mode a similarity in [-1, 1]."""
    terms: Mapping[str, float] = field(default_factory=dict)
    """Name of a term → its part of the score; empty in the reference mode."""
    runner_up: int | None = None
    """Gid of the second best choice; 0: a new identity; None: there was no other choice."""
    margin: float = 0.0
    """How much better the score is than that of the runner-up."""

    @classmethod
    def of(cls, terms: Mapping[str, float], rivals: Mapping[int, float]) -> Decision:
        """From the terms, and the scores of the other choices by gid (0: a new identity)."""
        score = round(sum(terms.values()), 3)
        runner_up = max(rivals, key=lambda gid: (rivals[gid], -gid), default=None)
        margin = score - rivals[runner_up] if runner_up is not None else 0.0
        return cls(score, terms, runner_up, round(margin, 3))

    @classmethod
    def of_none(cls, terms: Mapping[str, float], rival: int) -> Decision:
        """For a new identity: from the terms of the best of the others, which were not enough."""
        score = round(sum(terms.values()), 3)
        return cls(score, terms, rival, -score)
