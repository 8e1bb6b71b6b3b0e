"""Reads `layout:learned`, for the commands that show what a site has learned."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from rich.console import Console

from launcher.site_access import SiteChoice, open_site
from shared.errors import MtmcError

Shown = TypeVar("Shown")


def read_learned(
    choice: SiteChoice, environment: Mapping[str, str], shown: Callable[[Mapping[str, Any]], Shown]
) -> tuple[dict[str, Any], Shown] | None:
    """What has been learned, and what `shown` makes of it; None, with a message on stderr, if there is nothing yet.

    Raises:
        MtmcError: the site cannot be read, or what was learned cannot.
    """
    with open_site(choice, environment) as site:
        text = site.client.get(site.keys.learned_layout)
        settings = site.published.config.association
    if text is None:
        reason = (
            "in association.mode 'reference' nothing is learned"
            if settings.mode == "reference"
            else f"the aggregator saves it every {settings.checkpoint_seconds:g} s (association.checkpoint_seconds); "
            "wait, or see with 'mtmc status' whether it runs"
        )
        Console(stderr=True, highlight=False).print(
            f"mtmc: nothing has been learned yet: {reason}", markup=False, soft_wrap=True
        )
        return None
    try:
        content = json.loads(text)
        int(content["tick"])
        return content, shown(content)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError, OverflowError):
        raise MtmcError(
            f"{site.keys.learned_layout} in Redis cannot be read: another version or program wrote it. The aggregator "
            f"writes it again within {settings.checkpoint_seconds:g} s"
        ) from None
