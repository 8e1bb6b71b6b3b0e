"""Answers the questions of the API as a worker and an aggregator would, for tests of a site that has neither."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from shared.answering import Answering, Kind
from shared.redis_connection import Client
from shared.searches import COMPARE, EMBED, encode_matches
from shared.source_trials import TRY_SOURCE, TrialAnswer
from tests.integration.streamer_site import KEYS, numbered_jpeg

TRIAL = TrialAnswer("worker-1", "box", "", "", "stream", "h264", 1280, 720, 25.0, 0.41, numbered_jpeg(1))


@contextmanager
def canned_answers(client: Client) -> Iterator[None]:
    """Every source works, and every crop looks like the identities 7 and 5."""
    vector = np.ones(3, np.float32).tobytes()
    kinds = [
        Kind(TRY_SOURCE, lambda _: TRIAL.encode(), 2),
        Kind(EMBED, lambda _: {"embedder": "ab12", "payload": vector}),
        Kind(COMPARE, lambda _: encode_matches("live", [(7, 4.25, 0.82), (404, 1.0, 0.5), (5, -3.5, 0.11)])),
    ]
    answering = Answering(client, KEYS, "worker-1", kinds)
    answering.start()
    try:
        yield
    finally:
        answering.close()
