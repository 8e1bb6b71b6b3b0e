"""`mtmc run streamer`."""

from __future__ import annotations

import threading

from services.streamer.service import Streamer
from shared.process import ServiceOptions, serve


def main(options: ServiceOptions, stop: threading.Event) -> None:
    """Serves pictures, pages and the API until `stop` is set; there may be any number of streamers.

    Raises:
        MtmcError: something that the user must fix, for example the port is in use.
    """
    serve("streamer", options, Streamer, stop)
