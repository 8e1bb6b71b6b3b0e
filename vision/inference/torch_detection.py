"""Detects with a PyTorch model: pictures go to its device as bytes, and only the boxes that are kept come back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vision.inference.backends.pytorch import TorchModel
from vision.inference.backends.torch_extra import import_torch
from vision.inference.detector_heads.head import Candidates, Head, PictureFormat
from vision.inference.letterbox import Placement, letterbox_bytes
from vision.inference.selection import Thresholds, select
from vision.inference.torch_pictures import TorchPictures, on_threads
from vision.inference.torch_suppression import TooManyCandidates, select_on_device


class TorchDetection:
    """What `Detector` does for a model of PyTorch."""

    def __init__(self, model: TorchModel, head: Head, pictures: PictureFormat) -> None:
        self._model, self._head, self._format = model, head, pictures
        self._pictures = TorchPictures(
            model,
            scale=pictures.scale,
            means=pictures.channel_means,
            deviations=pictures.channel_deviations,
            rgb=pictures.rgb,
        )

    def detect(
        self, frames: Sequence[npt.NDArray[np.uint8]], thresholds: Sequence[Thresholds]
    ) -> list[tuple[Candidates, Placement]]:
        """The boxes of every frame that are kept, in pixels of the input, and where the frame is in the input.

        Raises:
            InferenceFailed: the device failed.
        """
        height, width = self._head.height, self._head.width
        inputs = self._pictures.buffer(len(frames), height, width)
        placements = on_threads(
            lambda number: letterbox_bytes(frames[number], self._format, inputs[number]), range(len(frames))
        )
        found: list[Candidates] = []
        calls = self._model.in_pieces(len(frames), (3, height, width), lambda piece: self._call(piece, thresholds))
        for _, candidates in calls:
            found += candidates
        return list(zip(found, placements, strict=True))

    def _call(self, piece: slice, thresholds: Sequence[Thresholds]) -> list[Candidates]:
        with import_torch().inference_mode():
            return self._selected(piece, thresholds)

    def _selected(self, piece: slice, thresholds: Sequence[Thresholds]) -> list[Candidates]:
        outputs = self._model.tensors(self._pictures.prepared(piece))
        dense = self._head.dense(outputs)
        if dense is not None:
            try:
                return select_on_device(*dense, thresholds[piece])
            except TooManyCandidates:
                pass
        arrays = [np.asarray(output.float().cpu().numpy(), np.float32) for output in outputs]
        each = self._head.split(arrays, piece.stop - piece.start)
        return [select(self._head, one, wanted) for one, wanted in zip(each, thresholds[piece], strict=True)]
