"""What a user of the synthetic site can mend."""

from __future__ import annotations

from shared.errors import MtmcError


class DemoError(MtmcError):
    """The synthetic site cannot be made as asked."""
