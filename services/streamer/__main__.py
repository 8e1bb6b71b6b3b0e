"""`mtmc run streamer`."""

from __future__ import annotations

from services.streamer.service import Streamer
from shared.process import ServiceOptions, serve


def main(options: ServiceOptions) -> None:
    """Serves pictures, pages and the API until stopped; there may be any number of streamers.

    Raises:
        MtmcError: something that the user must fix, for example the port is in use.
    """
    serve("streamer", options, Streamer)
