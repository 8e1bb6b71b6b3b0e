"""Who sent the present request."""

from __future__ import annotations

from dataclasses import dataclass, field

from flask import g

from shared.tokens import Role


@dataclass(frozen=True)
class Proof:
    """The token, and for a browser the session, with which somebody is logged in."""

    token_id: str
    token_digest: str = field(repr=False)
    session_id: str | None = None
    session_digest: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Visitor:
    """The sender of a request."""

    role: Role
    name: str
    """For records of who asked for a change: the label of the token and its id; `anybody` on a page without login."""
    proof: Proof | None = None
    """None: nobody has to log in."""

    @property
    def has_session(self) -> bool:
        """Whether it is a browser that is logged in."""
        return self.proof is not None and self.proof.session_id is not None


ANYBODY = Visitor("operator", "anybody")
"""Everybody on a page that needs no login."""


def current_visitor() -> Visitor:
    """Who sent the present request; only inside a request that the guard has let in."""
    visitor: Visitor = g.visitor
    return visitor
