"""What a worker answers: whether a source works, and what the embedding of a crop is."""

from __future__ import annotations

import socket
from collections.abc import Mapping

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from shared.answering import Answering, Kind
from shared.camera_config import CameraConfig
from shared.camera_source import stream_problem
from shared.errands import Errands
from shared.errors import InferenceFailed
from shared.jpeg_size import jpeg_size
from shared.keys import Keys
from shared.questions import Fields, Refused
from shared.redis_connection import Client
from shared.searches import CROP_SIDE_MOST, EMBED
from shared.site import PublishedSite
from shared.source_trials import JPEG_WIDTH, TRY_SOURCE, TrialAnswer, TrialRequest
from vision.inference.embedding import Embedder
from vision.video.options import SourceOptions
from vision.video.trial import try_stream

_TRIALS_AT_ONCE = 2
_LOOP_S = 5.0
"""How long the loop may take to get to a crop."""
_JPEG_QUALITY = 80


class WorkerAnswers:
    """Takes the questions to workers. Trials run on their own threads; a crop is embedded by the loop, between ticks.

    Only the loop may use the embedder: not every runtime can be used by two threads.
    """

    def __init__(
        self, pictures: Client, site: PublishedSite, worker: str, embedder: Embedder, errands: Errands
    ) -> None:
        """`pictures`: the Redis for pictures. `errands`: what the loop does for this."""
        self._worker, self._embedder, self._errands = worker, embedder, errands
        self._interval_s = 1.0 / site.config.clock.target_fps
        kinds = [
            Kind(TRY_SOURCE, self._try_source, _TRIALS_AT_ONCE, errands.are_done),
            Kind(EMBED, self._embed, is_ready=errands.are_done),
        ]
        self._answering = Answering(pictures, Keys(site.config.site), worker, kinds)

    def start(self) -> None:
        """Starts to take questions."""
        self._answering.start()

    def close(self) -> None:
        """Takes no more questions; the process does not wait for those under way."""
        self._answering.close()

    def _try_source(self, question: Mapping[str, bytes]) -> Fields:
        request = TrialRequest.decode(question)
        if problem := stream_problem(request.source):
            raise Refused(problem)
        try:  # The site file allows no other options, either.
            camera = CameraConfig.model_validate({"name": "trial", **vars(request)})
        except ValidationError:
            raise Refused("the settings of the source are not valid") from None
        trial = try_stream(request.source, SourceOptions.of(camera), self._interval_s)
        height, width = trial.image.shape[:2] if trial.image is not None else (None, None)
        return TrialAnswer(
            self._worker,
            socket.gethostname(),
            trial.reason or "",
            trial.warning or "",
            trial.facts.kind if trial.facts is not None else "",
            (trial.facts.codec if trial.facts is not None else None) or "",
            width,
            height,
            trial.fps,
            round(trial.first_picture_s, 2) if trial.first_picture_s is not None else None,
            _jpeg(trial.image) if trial.image is not None else b"",
        ).encode()

    def _embed(self, question: Mapping[str, bytes]) -> Fields:
        picture = _decoded(question.get("payload", b""))
        whole = np.array([[0, 0, picture.shape[1], picture.shape[0]]], np.float32)
        try:
            (vector,) = self._errands.ask(lambda: self._embedder.embed([(picture, whole)]), _LOOP_S)
        except TimeoutError:
            raise Refused(f"worker {self._worker} is busy; try again in some seconds") from None
        except InferenceFailed as error:
            raise Refused(f"worker {self._worker} cannot embed the picture: {error}") from None
        return {"embedder": self._embedder.checksum, "payload": vector.astype("<f4").tobytes()}


def _decoded(jpeg: bytes) -> npt.NDArray[np.uint8]:
    """A picture, `(height, width, 3)` uint8 BGR.

    Raises:
        Refused: it cannot be decoded.
    """
    size = jpeg_size(jpeg)
    if size is None or max(size) > CROP_SIDE_MOST:
        raise Refused("the picture is not a JPEG, or is too large")
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise Refused("the picture is damaged; send a JPEG that can be decoded")
    return np.asarray(image, np.uint8)


def _jpeg(image: npt.NDArray[np.uint8]) -> bytes:
    """A picture as JPEG, at most `JPEG_WIDTH` wide; empty if it cannot be encoded."""
    height, width = image.shape[:2]
    if width > JPEG_WIDTH:
        size = JPEG_WIDTH, max(1, round(height * JPEG_WIDTH / width))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    encoded, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return jpeg.tobytes() if encoded else b""
