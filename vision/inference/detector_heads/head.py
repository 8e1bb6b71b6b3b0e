"""What all detector heads have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from shared.errors import ModelError
from vision.inference.detector_heads.facts import Facts

Floats: TypeAlias = npt.NDArray[np.float32]
Arrays: TypeAlias = Sequence[npt.NDArray[Any]]


@dataclass(frozen=True)
class Candidates:
    """Boxes of one picture before suppression."""

    boxes_xyxy: Floats
    """`(K, 4)` float32 xyxy, pixels of the model's input."""
    scores: Floats
    """`(K,)` float32 in [0, 1]."""
    class_ids: npt.NDArray[np.int16]
    """`(K,)` int16."""


@dataclass(frozen=True)
class PictureFormat:
    """The input format that a detector expects."""

    rgb: bool
    """Channel order RGB; False: BGR."""
    scale: float
    """Factor applied to every byte."""
    centred: bool
    """Padding on all sides; False: only to the right and below."""
    stretched: bool = False
    """Resized to the whole input, without padding and without keeping the aspect ratio."""
    channel_means: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Subtracted after `scale`, in the order of the channels."""
    channel_deviations: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Divides the difference, in the order of the channels."""


@dataclass(frozen=True, eq=False)
class Head(ABC):
    """How one kind of detector takes pictures and returns boxes."""

    height: int
    """Of the model's input, pixels."""
    width: int
    class_names: tuple[str, ...]

    name: ClassVar[str]
    """Value of `detector.head`."""
    family: ClassVar[str]
    """For people: the models with this head."""
    form: ClassVar[str]
    """The outputs that the head accepts. B pictures, N boxes, C classes."""
    pictures: ClassVar[PictureFormat]
    overlapping: ClassVar[bool]
    """Whether one object may have several boxes, so that overlaps must be suppressed."""
    batched: ClassVar[bool] = True
    """Whether the outputs tell the pictures of a batch apart; False: one picture per call."""
    common_with_coco: ClassVar[bool] = False
    """Whether 80 unnamed classes are those of COCO, which decides between two readings."""

    @classmethod
    @abstractmethod
    def of(cls, facts: Facts, *, chosen: bool) -> Self | None:
        """The head of a model with these `facts`; None if shapes, names or metadata exclude it.

        `chosen`: a person has named this head, so only the shapes of the outputs need to fit.
        """

    def objection(self, facts: Facts) -> str | None:
        """What in the numbers of the outputs contradicts this head; None if nothing does."""
        return None

    def proof(self, facts: Facts) -> str | None:
        """What in the names or metadata says that the model has this head and no other; None if nothing does."""
        return None

    def needs_proof(self, facts: Facts) -> bool:
        """Whether shapes and numbers alone are not enough, because unsupported heads have the same."""
        return False

    def picture_format(self, *, takes_bytes: bool) -> PictureFormat:
        """The input format. A model that takes bytes scales them itself."""
        if not takes_bytes:
            return self.pictures
        return replace(self.pictures, scale=1.0, channel_means=(0.0, 0.0, 0.0), channel_deviations=(1.0, 1.0, 1.0))

    def split(self, outputs: Arrays, batch: int) -> list[Arrays]:
        """The outputs of each of the `batch` pictures of one call.

        Raises:
            ModelError: an output does not have one row per picture.
        """
        if any(output.shape[:1] != (batch,) for output in outputs):
            raise ModelError("has an output without one row per picture; export it with a batch dimension")
        return [[output[row] for output in outputs] for row in range(batch)]

    def dense(self, outputs: Sequence[Any]) -> tuple[Any, Any] | None:
        """Boxes with centre and size, `(B, N, 4)`, and scores, `(B, N, C)`, in the outputs of one call.

        Uses only slices and products, so that it works where the outputs are: they may be arrays or PyTorch tensors.
        None: the head has another form.
        """
        return None

    @abstractmethod
    def decode(self, outputs: Arrays, min_score: float, wanted: Collection[int] | None = None) -> Candidates:
        """The boxes whose best class is in `wanted` (None: all) and scores at least `min_score`, in the model's order.

        `outputs` are those of one picture, as `split` returns them.
        """


def of_classes(
    boxes_xyxy: Floats, scores: Floats, class_ids: npt.NDArray[Any], wanted: Collection[int] | None
) -> Candidates:
    """The candidates whose class is in `wanted` (None: all)."""
    if wanted is not None:
        listed = np.isin(class_ids, sorted(wanted))
        boxes_xyxy, scores, class_ids = boxes_xyxy[listed], scores[listed], class_ids[listed]
    return Candidates(
        boxes_xyxy.astype(np.float32, copy=False), scores.astype(np.float32, copy=False), class_ids.astype(np.int16)
    )


def finished(
    boxes_xyxy: Floats,
    scores: Floats,
    class_ids: npt.NDArray[Any],
    classes: int,
    min_score: float,
    wanted: Collection[int] | None,
) -> Candidates:
    """The candidates of a model that has chosen the boxes and their classes itself: threshold and select."""
    numbers = class_ids.round().astype(np.intp)
    keep = (scores >= min_score) & (numbers >= 0) & (numbers < classes)
    return of_classes(boxes_xyxy[keep], scores[keep], numbers[keep], wanted)


def corners_of(centre_and_size: Floats) -> Floats:
    """Boxes `(K, 4)` xyxy from boxes `(K, 4)` with centre and size."""
    centre, half = centre_and_size[:, :2], centre_and_size[:, 2:4] / 2
    return np.hstack([centre - half, centre + half])
