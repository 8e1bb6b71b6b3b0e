"""From boxes to appearance vectors: one model call for the crops of all cameras of a worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from shared.config import EmbedderConfig
from shared.errors import ModelError
from vision.inference.backends.loading import load_model
from vision.inference.backends.model import Model, WantedDevice

Floats: TypeAlias = npt.NDArray[np.float32]
Crops: TypeAlias = Sequence[tuple[npt.NDArray[np.uint8], Floats]]
"""Per frame the picture, `(height, width, 3)` uint8 BGR, and the boxes in it, `(k, 4)` float32 xyxy in its pixels."""


_DEFAULTS = EmbedderConfig.model_fields


@dataclass(frozen=True)
class Preprocessing:
    """What an embedder wants to see: a crop of this size, each byte turned into `(byte * scale - mean) / std`.

    The defaults are those of `shared.config.EmbedderConfig`: what torchreid's networks take.
    """

    width: int | None = None
    """Pixels; None: as the model fixes it."""
    height: int | None = None
    mean: tuple[float, float, float] = _DEFAULTS["mean"].default
    """In `channel_order`, like `std`."""
    std: tuple[float, float, float] = _DEFAULTS["std"].default
    channel_order: Literal["rgb", "bgr"] = _DEFAULTS["channel_order"].default
    scale: float = _DEFAULTS["scale"].default

    @classmethod
    def of(cls, config: EmbedderConfig) -> Preprocessing:
        """As a site describes it."""
        return cls(config.width, config.height, config.mean, config.std, config.channel_order, config.scale)


class Embedder:
    """An appearance model; has no state between calls."""

    def __init__(self, model: Model, preprocessing: Preprocessing, dimension: int) -> None:
        self._model, self._preprocessing, self._dimension = model, preprocessing, dimension

    @classmethod
    def load(
        cls,
        path: Path,
        preprocessing: Preprocessing | None = None,
        *,
        device: WantedDevice = "auto",
        threads: int = 0,
        max_batch: int = 64,
        engine_cache: Path | None = None,
    ) -> Embedder:
        """The embedder in the file `path`; `preprocessing` None: the default one; a size left open is the model's.

        Raises ModelError when the model cannot be loaded, does not give one vector per picture, or fixes another size
        than `preprocessing`.
        """
        wanted = preprocessing or Preprocessing()
        size = (wanted.height, wanted.width) if wanted.height and wanted.width else None
        model = load_model(
            path,
            device=device,
            threads=threads,
            max_batch=max_batch,
            picture_size=size,
            engine_cache=engine_cache,
        )
        height, width = model.picture_size(size)
        if (wanted.height or height, wanted.width or width) != (height, width):
            raise ModelError(
                f"{path}: takes crops of {width}×{height} pixels (width × height), "
                f"not {wanted.width}×{wanted.height}; leave the size out"
            )
        outputs = model.run(model.blank(size))
        if len(outputs) != 1 or outputs[0][0].size != max(outputs[0].shape[1:], default=0):
            shapes = ", ".join(str(list(output.shape)) for output in outputs)
            raise ModelError(f"{path}: gives {shapes}; an embedder must give one vector per crop, [B, D]")
        return cls(model, replace(wanted, width=width, height=height), outputs[0][0].size)

    @property
    def checksum(self) -> str:
        return self._model.checksum

    @property
    def device(self) -> str:
        return self._model.device

    @property
    def runtime(self) -> str:
        return self._model.runtime

    @property
    def batch_size(self) -> int | None:
        """Crops per call that the model insists on; None when any number will do."""
        return self._model.batch_size

    @property
    def dimension(self) -> int:
        return self._dimension

    @property
    def preprocessing(self) -> Preprocessing:
        """With the size that holds."""
        return self._preprocessing

    def embed(self, crops: Crops) -> Floats:
        """Vectors of all boxes in order, `(sum k, D)` float32, unit norm.

        A box with less than a pixel inside its picture, and one the model has no finite answer for, gets the zero
        vector: it resembles nothing. Raises ModelError when the device fails.
        """
        batch, shown = crop_batch(crops, self._preprocessing)
        vectors = np.zeros((len(batch), self._dimension), np.float32)
        if shown.any():
            seen = batch if shown.all() else batch[shown]
            vectors[shown] = self._model.run(seen)[0].reshape(len(seen), -1)
        return unit_rows(vectors)


def crop_batch(crops: Crops, preprocessing: Preprocessing) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """The network's input `(n, 3, height, width)` float32, and which rows `(n,)` show anything.

    Boxes are widened to whole pixels and clipped to their picture; the crop is stretched to the size of
    `preprocessing`, which must be set. A box with less than a pixel inside its picture leaves a row of zeros.
    """
    width, height = preprocessing.width, preprocessing.height
    if width is None or height is None:
        raise ValueError("the size of the crops is open")
    count = sum(len(boxes) for _, boxes in crops)
    batch = np.zeros((count, 3, height, width), np.float32)
    shown = np.zeros(count, np.bool_)
    std = np.array(preprocessing.std, np.float32)
    factors = np.float32(preprocessing.scale) / std
    offsets = -np.array(preprocessing.mean, np.float32) / std
    row = 0
    for frame, boxes_xyxy in crops:
        limit = np.array([frame.shape[1], frame.shape[0]] * 2, np.float32)
        # A box that is not a number anywhere fails the comparison below and shows nothing.
        inside = np.clip(boxes_xyxy, 0, limit)
        visible = (inside[:, 2:] - inside[:, :2]).min(axis=1) >= 1
        for box, is_visible in zip(inside, visible, strict=True):
            if is_visible:
                (left, top), (right, bottom) = np.floor(box[:2]).astype(int), np.ceil(box[2:]).astype(int)
                crop = cv2.resize(frame[top:bottom, left:right], (width, height), interpolation=cv2.INTER_LINEAR)
                for channel, plane in enumerate(batch[row]):
                    source = 2 - channel if preprocessing.channel_order == "rgb" else channel
                    np.multiply(crop[..., source], factors[channel], out=plane)
                    plane += offsets[channel]
                shown[row] = True
            row += 1
    return batch, shown


def unit_rows(vectors: Floats) -> Floats:
    """`vectors` `(n, D)` with every row scaled to norm 1; a row of zeros, or one that is not finite, becomes zeros."""
    finite = np.where(np.isfinite(vectors).all(axis=1, keepdims=True), vectors, 0)
    # Scaled first, so that squares of large or tiny numbers stay within float32.
    largest = np.abs(finite).max(axis=1, keepdims=True, initial=0)
    scaled = np.divide(finite, largest, out=np.zeros_like(vectors), where=largest > 0)
    norms = np.linalg.norm(scaled, axis=1, keepdims=True)
    rows: Floats = np.divide(scaled, norms, out=scaled, where=norms > 0)
    return rows
