"""Embeds with a PyTorch model: crops go to its device as bytes, and only the vectors come back."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from vision.inference.backends.pytorch import TorchModel
from vision.inference.torch_pictures import TorchPictures, on_threads


class TorchEmbedding:
    """What `Embedder` does for a model of PyTorch."""

    def __init__(
        self,
        model: TorchModel,
        size: tuple[int, int],
        dimension: int,
        *,
        scale: float,
        mean: Sequence[float],
        std: Sequence[float],
        rgb: bool,
    ) -> None:
        """`size` is `(height, width)` of a crop in pixels; the others are those of `Preprocessing`."""
        self._model, self._size, self._dimension = model, size, dimension
        self._pictures = TorchPictures(model, scale=scale, means=mean, deviations=std, rgb=rgb)

    def embed(self, parts: Sequence[npt.NDArray[np.uint8] | None]) -> npt.NDArray[np.float32]:
        """The model's vectors, `(n, D)` float32, as they are; zero for None.

        Args:
            parts: parts of frames, `(height, width, 3)` uint8 BGR each, of any size.

        Raises:
            InferenceFailed: the device failed.
        """
        vectors = np.zeros((len(parts), self._dimension), np.float32)
        shown = [part for part in parts if part is not None]
        if not shown:
            return vectors
        height, width = self._size
        inputs = self._pictures.buffer(len(shown), height, width)

        def fill(number: int) -> None:
            inputs[number] = cv2.resize(shown[number], (width, height), interpolation=cv2.INTER_LINEAR)

        on_threads(fill, range(len(shown)))
        calls = self._model.in_pieces(len(shown), (3, height, width), self._call)
        vectors[[part is not None for part in parts]] = np.concatenate([rows for _, rows in calls])
        return vectors

    def _call(self, piece: slice) -> npt.NDArray[np.float32]:
        (output,) = self._model.tensors(self._pictures.prepared(piece))
        rows: npt.NDArray[np.float32] = output.float().reshape(piece.stop - piece.start, -1).cpu().numpy()
        return rows
