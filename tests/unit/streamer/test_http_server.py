"""The HTTP server on its own."""

from __future__ import annotations

import time

from flask import Flask

from services.streamer.http_server import HttpServer


def test_it_closes_even_if_its_thread_is_faster_than_the_one_that_closes_it() -> None:
    server = HttpServer(Flask(__name__), "127.0.0.1", 0, on_cut_off=lambda: None)
    server.start()
    trigger = server._server.trigger
    pull = trigger._physical_pull

    def pull_after_the_thread_woke_up_by_itself() -> None:
        pull()
        time.sleep(0.2)
        pull()

    trigger._physical_pull = pull_after_the_thread_woke_up_by_itself
    server.close()
    assert not server._thread.is_alive()
