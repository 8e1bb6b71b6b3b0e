"""Compares a crop with the identities, for `POST /api/v1/identities/search`. It is no part of any cycle."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from association.likeness import IdentityGallery
from services.aggregator.state import AggregatorState
from shared.answering import Answering, Kind
from shared.errands import Errands
from shared.keys import Keys
from shared.questions import Fields, Refused
from shared.redis_connection import Client
from shared.searches import COMPARE, MATCHES_MOST, encode_matches

_LOOP_S = 3.0
"""How long the loop may take to get to a question."""


class Search:
    """Answers the questions `compare`: a thread takes them, and the loop copies what is needed between two cycles."""

    def __init__(self, pictures: Client, keys: Keys, state: AggregatorState, owns_site: Callable[[], bool]) -> None:
        """`pictures`: the Redis for pictures. `owns_site`: whether this aggregator is active and has its state."""
        self._state, self._errands = state, Errands()

        def is_ready() -> bool:
            return owns_site() and self._errands.are_done()

        self._answering = Answering(pictures, keys, "aggregator", [Kind(COMPARE, self._compare, is_ready=is_ready)])

    def work_off(self) -> None:
        """Does what a question needs of the loop, at most one; call it between cycles."""
        self._answering.start()
        self._errands.do_one()

    def close(self) -> None:
        """Takes no more questions."""
        self._answering.close()

    def _compare(self, question: Mapping[str, bytes]) -> Fields:
        """Runs on a thread of its own.

        Raises:
            Refused: the question cannot be read, or the loop is busy.
        """
        embedder, camera = (question.get(name, b"").decode(errors="replace") for name in ("embedder", "camera"))
        packed = question.get("payload", b"")
        embedding = np.frombuffer(packed[: len(packed) // 4 * 4], "<f4").astype(np.float32)
        if not len(embedding) or not np.isfinite(embedding).all():
            raise Refused("the crop has no embedding that can be compared")

        def gallery() -> tuple[IdentityGallery, str]:
            association = self._state.association
            return association.gallery(embedder, self._state.camera_index.get(camera)), association.settings.mode

        try:
            looks, mode = self._errands.ask(gallery, _LOOP_S)
        except TimeoutError:
            raise Refused("the aggregator is busy; try again in some seconds") from None
        found = looks.search(embedding)[:MATCHES_MOST]
        return encode_matches(mode, [(one.gid, one.score, one.similarity) for one in found])
