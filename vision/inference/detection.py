"""Detects objects: one detector for all cameras of a worker, one model call for all their frames."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import structlog

from shared.errors import ModelError
from vision.inference.backends.loading import load_model
from vision.inference.backends.model import Model, WantedDevice
from vision.inference.backends.pytorch import TorchModel
from vision.inference.detector_heads.facts import Facts
from vision.inference.detector_heads.head import Arrays, Candidates, Floats, Head
from vision.inference.detector_heads.recognition import Recognised, recognise
from vision.inference.letterbox import Placement, letterbox
from vision.inference.model_user import ModelUser
from vision.inference.selection import Thresholds, select
from vision.inference.torch_detection import TorchDetection

_log = structlog.get_logger()

_DIM = 0.4


@dataclass(frozen=True)
class Detections:
    """The objects of one frame, best score first."""

    boxes_xyxy: Floats
    """`(N, 4)` float32 xyxy, pixels of the source frame, clipped to it."""
    scores: Floats
    """`(N,)` float32 in [0, 1], descending."""
    class_ids: npt.NDArray[np.int16]
    """`(N,)` int16, indices into the detector's `class_names`."""

    def __len__(self) -> int:
        return len(self.scores)


class Detector(ModelUser):
    """A detection model with its head. Stateless between calls."""

    def __init__(self, model: Model, recognised: Recognised) -> None:
        super().__init__(model)
        self._head, self._why = recognised.head, recognised.why
        self._objection = recognised.objection
        self._pictures = self._head.picture_format(takes_bytes=model.takes_bytes)
        # TensorRT engines take and return arrays, as ONNX Runtime does.
        self._torch = (
            TorchDetection(model, self._head, self._pictures)
            if isinstance(model, TorchModel) and model.runtime == "pytorch"
            else None
        )

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        head: str | None = None,
        size: tuple[int, int] | None = None,
        device: WantedDevice = "auto",
        threads: int = 0,
        max_batch: int = 32,
        engine_cache: Path | None = None,
    ) -> Detector:
        """Load the detector from the file `path`, or by its published name; other arguments as for `load_model`.

        Args:
            path: of the model's file, or its published name.
            head: name of the head; None: recognised from the model.
            size: `(height, width)` of the input in pixels, for a model with a dynamic input size.
            device: as for `load_model`.
            threads: as for `load_model`.
            max_batch: as for `load_model`.
            engine_cache: as for `load_model`.

        Raises:
            ModelError: the model cannot be loaded, has a fixed size other than `size`, or its head is of an unknown
                kind or not the wanted one, or could be of several kinds.
        """
        model = load_model(
            path,
            device=device,
            threads=threads,
            max_batch=max_batch,
            picture_size=size,
            engine_cache=engine_cache,
            any_input=True,
        )
        height, width = model.picture_size(size)
        if size not in (None, (height, width)):
            raise ModelError(
                f"{model.path}: takes pictures of {height}×{width} pixels (height × width), not {size[0]}×{size[1]}; "
                "remove detector.size"
            )
        pictures = trial_pictures(height, width, takes_bytes=model.takes_bytes)
        recognised = recognise(_facts(model, pictures), head)
        return cls(_for_batches(model, recognised.head, pictures), recognised)

    @property
    def class_names(self) -> tuple[str, ...]:
        return self._head.class_names

    @property
    def family(self) -> str:
        """The models with this head, for people."""
        return self._head.family

    @property
    def head(self) -> str:
        """Name of the head, a value of `detector.head`."""
        return self._head.name

    @property
    def why(self) -> str:
        """Why this head was recognised."""
        return self._why

    @property
    def objection(self) -> str | None:
        """What in the model's outputs contradicts a head that a person has chosen; None if nothing does."""
        return self._objection

    @property
    def input_size(self) -> tuple[int, int]:
        """`(width, height)` of the model's input in pixels."""
        return self._head.width, self._head.height

    def detect(self, frames: Sequence[npt.NDArray[np.uint8]], thresholds: Sequence[Thresholds]) -> list[Detections]:
        """Detect the objects of every frame, in one model call if the model has a dynamic batch.

        Args:
            frames: `(height, width, 3)` uint8 BGR each, of any size.
            thresholds: one for each frame.

        Raises:
            InferenceFailed: the device failed, for example ran out of memory.
            ValueError: `frames` and `thresholds` differ in length.
        """
        if len(frames) != len(thresholds):
            raise ValueError(f"{len(frames)} frames but {len(thresholds)} thresholds")
        if not frames:
            return []
        found = (self._torch.detect if self._torch is not None else self._detect)(frames, thresholds)
        return [Detections(placement.to_frame(one.boxes_xyxy), one.scores, one.class_ids) for one, placement in found]

    def _detect(
        self, frames: Sequence[npt.NDArray[np.uint8]], thresholds: Sequence[Thresholds]
    ) -> list[tuple[Candidates, Placement]]:
        batch = np.empty((len(frames), 3, self._head.height, self._head.width), np.float32)
        placements = [letterbox(frame, self._pictures, out) for frame, out in zip(frames, batch, strict=True)]
        each: list[Arrays] = []
        for count, outputs in self._model.calls(batch):
            each += _split(self._model, self._head, outputs, self._model.batch_size or count)[:count]
        found = [select(self._head, outputs, wanted) for outputs, wanted in zip(each, thresholds, strict=True)]
        return list(zip(found, placements, strict=True))


def trial_pictures(height: int, width: int, *, takes_bytes: bool) -> Floats:
    """A blank and a patterned picture, `(2, 3, height, width)` float32, 0 to 1, or to 255 for a model that takes bytes.

    The pattern is a dim scene of coloured ramps and rectangles, so that a network's outputs differ between boxes.
    """
    pictures = np.zeros((2, 3, height, width), np.float32)
    ramps = np.stack([np.tile(np.linspace(0, 1, width), (height, 1)), np.tile(np.linspace(1, 0, height), (width, 1)).T])
    pictures[1, :2], pictures[1, 2] = ramps, ramps.mean(axis=0)
    for number, level in enumerate((1.0, 0.0, 0.7)):
        top, left = height * (number + 1) // 5, width * (number * 2 + 1) // 7
        pictures[1, :, top : top + height // 4, left : left + width // 6] = level
    return pictures * np.float32(_DIM * 255 if takes_bytes else _DIM)


def _facts(model: Model, pictures: Floats) -> Facts:
    batch = model.batch_size or 1
    pieces = [pictures[:1], pictures[1:]] if batch == 1 else [pictures]
    return Facts(
        model=str(model.path),
        height=pictures.shape[2],
        width=pictures.shape[3],
        calls=[outputs for piece in pieces for _, outputs in model.calls(piece)],
        batch=batch,
        output_names=model.output_names,
        input_name=model.input_name,
        takes_bytes=model.takes_bytes,
        channels_last=model.channels_last,
        takes_sizes=model.takes_sizes,
        metadata=model.metadata,
    )


def _for_batches(model: Model, head: Head, pictures: Floats) -> Model:
    """The model with no more pictures per call than it really takes.

    Raises:
        ModelError: the outputs for several pictures cannot be told apart.
    """
    if not head.batched and (model.batch_size or 1) > 1:
        raise ModelError(
            f"{model.path}: takes {model.batch_size} pictures, but head {head.name} returns the boxes of one; "
            "export it with batch size 1"
        )
    if model.batch_size is not None:
        for count, outputs in model.calls(pictures):
            _split(model, head, outputs, model.batch_size or count)
        return model
    if not head.batched:
        return replace(model, max_batch=1)
    calls = list(model.calls(pictures))
    try:
        works = len(calls) == 1 and bool(_split(model, head, calls[0][1], 2))
    except ModelError:
        works = False
    if works or model.max_batch == 1:
        return model
    _log.warning(
        "the model accepts any number of pictures, but works with one only, so it is called once per picture; export "
        "it with a dynamic batch",
        model=model.path.name,
    )
    return replace(model, max_batch=1)


def _split(model: Model, head: Head, outputs: Arrays, batch: int) -> list[Arrays]:
    try:
        return head.split(outputs, batch)
    except ModelError as error:
        raise ModelError(f"{model.path}: {error}") from None


def resolve_classes(wanted: Sequence[int | str], names: Sequence[str]) -> frozenset[int]:
    """Indices of the classes `wanted`, each given by its name in `names` (case-insensitive) or by its index.

    Raises:
        ModelError: the model has no such class; the message suggests similar names.
    """
    by_name: dict[str, set[int]] = {}
    for number, name in enumerate(names):
        by_name.setdefault(name.casefold(), set()).add(number)
    numbers: set[int] = set()
    for entry in wanted:
        text = str(entry).strip()
        if isinstance(entry, str) and text.casefold() in by_name:
            numbers |= by_name[text.casefold()]
        elif text.isdecimal() and int(text) < len(names):
            numbers.add(int(text))
        else:
            raise ModelError(f"unknown class {text!r}; {_suggestion(text, names)}")
    return frozenset(numbers)


def _suggestion(text: str, names: Sequence[str]) -> str:
    available = f"{len(names)} classes, by name or by number from 0 to {len(names) - 1}"
    close = difflib.get_close_matches(text.casefold(), [name.casefold() for name in names], n=3)
    if close:
        return f"did you mean {' or '.join(close)}? The model has {available}"
    return f"the model has {available}: {', '.join(names[:10])}{', …' if len(names) > 10 else ''}"
