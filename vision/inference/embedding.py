"""Computes appearance embeddings of boxes: one model call for the crops of all cameras of a worker."""

from __future__ import annotations

import math
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
from vision.inference.backends.pytorch import TorchModel
from vision.inference.embedder_trial import fault, same_alone, trial_crops
from vision.inference.model_user import ModelUser
from vision.inference.torch_embedding import TorchEmbedding

Floats: TypeAlias = npt.NDArray[np.float32]
Crops: TypeAlias = Sequence[tuple[npt.NDArray[np.uint8], Floats]]
"""Pairs of a frame, `(height, width, 3)` uint8 BGR, and boxes in it, `(k, 4)` float32 xyxy, pixels of the frame."""


_DEFAULTS = EmbedderConfig.model_fields


@dataclass(frozen=True)
class Preprocessing:
    """An embedder's input format: a crop of this size with every byte converted to `(byte * scale - mean) / std`.

    The defaults are those of `shared.config.EmbedderConfig`, which suit torchreid's networks.
    """

    width: int | None = None
    """Pixels; None: the model's fixed size."""
    height: int | None = None
    """Pixels; None: the model's fixed size."""
    mean: tuple[float, float, float] = _DEFAULTS["mean"].default
    """Per channel in `channel_order`, like `std`."""
    std: tuple[float, float, float] = _DEFAULTS["std"].default
    channel_order: Literal["rgb", "bgr"] = _DEFAULTS["channel_order"].default
    scale: float = _DEFAULTS["scale"].default

    @classmethod
    def of(cls, config: EmbedderConfig) -> Preprocessing:
        """The preprocessing that a site configures."""
        return cls(config.width, config.height, config.mean, config.std, config.channel_order, config.scale)


class Embedder(ModelUser):
    """An appearance model. Stateless between calls."""

    def __init__(self, model: Model, preprocessing: Preprocessing, dimension: int) -> None:
        super().__init__(model)
        self._preprocessing, self._dimension = preprocessing, dimension
        self._torch = (
            TorchEmbedding(
                model,
                (preprocessing.height or 0, preprocessing.width or 0),
                dimension,
                scale=preprocessing.scale,
                mean=preprocessing.mean,
                std=preprocessing.std,
                rgb=preprocessing.channel_order == "rgb",
            )
            if isinstance(model, TorchModel) and model.runtime == "pytorch"
            else None
        )

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
        """Load the embedder from the file `path`.

        `preprocessing` None: the defaults. A size of None is replaced by the model's. The other arguments are those of
        `load_model`.

        Raises:
            ModelError: the model cannot be loaded, does not output one vector per crop, has a fixed size other than
                that of `preprocessing`, or cannot tell crops apart that are nothing alike.
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
                f"{path}: requires crops of {width}×{height} pixels (width × height), "
                f"not {wanted.width}×{wanted.height}; remove the size"
            )
        wanted = replace(wanted, width=width, height=height)
        crops = crop_batch([trial_crops()], wanted)[0]
        vectors = _vectors(model, crops)
        problem = fault(vectors, unit_rows(vectors))
        if problem is not None:
            raise ModelError(
                f"{path}: {problem}, so it can tell no objects apart; compare embedder.mean, std, scale and "
                "channel_order with those of its training, or export it again"
            )
        if not same_alone(unit_rows(vectors[:1]), unit_rows(_vectors(model, crops[:1]))):
            raise ModelError(
                f"{path}: the vector of a crop depends on the other crops of the call, so vectors cannot be "
                "compared; export it again in evaluation mode (model.eval() in PyTorch)"
            )
        return cls(model, wanted, vectors.shape[1])

    @property
    def dimension(self) -> int:
        """Length D of a vector."""
        return self._dimension

    @property
    def preprocessing(self) -> Preprocessing:
        """The preprocessing in use, with its size filled in."""
        return self._preprocessing

    def embed(self, crops: Crops) -> Floats:
        """Embeddings of all boxes in order.

        A box with less than a pixel inside its frame, or for which the model's output is not finite, gets the zero
        vector, which is similar to nothing.

        Returns:
            `(sum of k, D)` float32, unit norm or zero.

        Raises:
            InferenceFailed: the device failed, for example ran out of memory.
        """
        if self._torch is not None:
            return unit_rows(self._torch.embed(visible_parts(crops)))
        batch, shown = crop_batch(crops, self._preprocessing)
        vectors = np.zeros((len(batch), self._dimension), np.float32)
        if shown.any():
            seen = batch if shown.all() else batch[shown]
            vectors[shown] = self._model.run(seen)[0].reshape(len(seen), -1)
        return unit_rows(vectors)


def _vectors(model: Model, batch: Floats) -> Floats:
    """What `model` returns for crops, `(n, 3, height, width)` float32: `(n, D)` float32.

    Raises:
        ModelError: it does not return one vector per crop.
    """
    vectors = []
    for count, outputs in model.calls(batch):
        fed = model.batch_size or count
        shapes = [output.shape for output in outputs]
        first, *sides = shapes[0] or (0,)
        if len(shapes) != 1 or first != fed or not sides or math.prod(sides) != max(sides):
            shown = ", ".join(str(list(shape)) for shape in shapes)
            raise ModelError(
                f"{model.path}: outputs {shown} for a batch of {fed}; an embedder must have a single output, with one "
                "vector per crop, [B, D]; export it again with this output only, and a dynamic batch or a batch of 1"
            )
        vectors.append(outputs[0][:count].reshape(count, -1))
    return np.concatenate(vectors).astype(np.float32)


def crop_batch(crops: Crops, preprocessing: Preprocessing) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Cut out and preprocess all boxes.

    Boxes are enlarged to whole pixels and clipped to their frame; the crop is stretched to the size of
    `preprocessing`, which must be set.

    Returns:
        The network's input `(n, 3, height, width)` float32, and `(n,)` bool: False for a box with less than a pixel
        inside its frame, whose input is all zeros.

    Raises:
        ValueError: `preprocessing` has no size.
    """
    width, height = preprocessing.width, preprocessing.height
    if width is None or height is None:
        raise ValueError("preprocessing has no width or height")
    cuts = visible_parts(crops)
    batch = np.zeros((len(cuts), 3, height, width), np.float32)
    std = np.array(preprocessing.std, np.float32)
    factors = np.float32(preprocessing.scale) / std
    offsets = -np.array(preprocessing.mean, np.float32) / std
    for part, row in zip(cuts, batch, strict=True):
        if part is None:
            continue
        crop = cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)
        for channel, plane in enumerate(row):
            source = 2 - channel if preprocessing.channel_order == "rgb" else channel
            np.multiply(crop[..., source], factors[channel], out=plane)
            plane += offsets[channel]
    return batch, np.array([part is not None for part in cuts], np.bool_)


def visible_parts(crops: Crops) -> list[npt.NDArray[np.uint8] | None]:
    """The part of a frame in each box, enlarged to whole pixels; None if less than a pixel of it is in the frame."""
    parts: list[npt.NDArray[np.uint8] | None] = []
    for frame, boxes_xyxy in crops:
        limit = np.array([frame.shape[1], frame.shape[0]] * 2, np.float32)
        # A box with a NaN fails the comparison below, so it counts as not visible.
        inside = np.clip(boxes_xyxy, 0, limit)
        visible = (inside[:, 2:] - inside[:, :2]).min(axis=1) >= 1
        for box, is_visible in zip(inside, visible, strict=True):
            if not is_visible:
                parts.append(None)
                continue
            (left, top), (right, bottom) = np.floor(box[:2]).astype(int), np.ceil(box[2:]).astype(int)
            parts.append(frame[top:bottom, left:right])
    return parts


def unit_rows(vectors: Floats) -> Floats:
    """Scale every row of `vectors`, `(n, D)` float32, to unit norm; a row that is zero or not finite becomes zero."""
    finite = np.where(np.isfinite(vectors).all(axis=1, keepdims=True), vectors, 0)
    # Scale by the maximum first, so that squares of very large or small numbers stay within float32.
    largest = np.abs(finite).max(axis=1, keepdims=True, initial=0)
    scaled = np.divide(finite, largest, out=np.zeros_like(vectors), where=largest > 0)
    norms = np.linalg.norm(scaled, axis=1, keepdims=True)
    rows: Floats = np.divide(scaled, norms, out=scaled, where=norms > 0)
    return rows
