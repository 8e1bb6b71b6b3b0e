"""Errors that the user of the synthetic site can fix."""

from __future__ import annotations

from shared.errors import MtmcError


class DemoError(MtmcError):
    """The synthetic site cannot be made as requested."""
