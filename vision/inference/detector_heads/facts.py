"""Everything a model file and two trial calls say about a detector, as far as heads are recognised by it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.errors import ModelError

USUAL_STRIDES = (8, 16, 32)
_STRIDES = (USUAL_STRIDES, (8, 16, 32, 64), (4, 8, 16, 32))
"""Of the networks that Ultralytics publishes: usual, P6 and P2."""

_TASKS = ("detect", "segment", "pose", "obb", "classify")
"""Of Ultralytics. Other exporters use other words, which say nothing about the outputs."""
_MOST_CLASSES = 2000
"""LVIS, the largest usual set, has 1203."""


@dataclass(frozen=True, eq=False)
class Facts:
    """What is known of a model. The outputs are those for a blank and a patterned picture."""

    model: str
    """Name of the model, for error messages."""
    height: int
    """Of the input, pixels."""
    width: int
    calls: Sequence[Sequence[npt.NDArray[Any]]]
    """The outputs of each trial call."""
    batch: int = 1
    """Pictures per trial call."""
    output_names: tuple[str, ...] = ()
    input_name: str = ""
    takes_bytes: bool = False
    """The input is uint8."""
    channels_last: bool = False
    """The file's input is `[B, height, width, 3]`."""
    takes_sizes: bool = False
    """The model has an input `orig_target_sizes`."""
    metadata: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def outputs(self) -> tuple[npt.NDArray[Any], ...]:
        """The outputs of the first call."""
        return tuple(self.calls[0]) if self.calls else ()

    @cached_property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of the outputs; the first dimension is replaced by -1 where it is the batch."""
        return tuple(
            (-1, *output.shape[1:]) if output.shape[:1] == (self.batch,) else output.shape for output in self.outputs
        )

    def rows(self, index: int) -> npt.NDArray[np.float32]:
        """Output `index` of all calls, one after the other along the first axis, float32."""
        each = [call[index] for call in self.calls]
        same = [output for output in each if output.shape[1:] == each[0].shape[1:]]
        return np.concatenate(same).astype(np.float32)

    @property
    def single(self) -> tuple[int, int] | None:
        """Both dimensions of the one output per picture; None if there are more, or if it has another rank."""
        return self.matrix(0) if len(self.outputs) == 1 else None

    def matrix(self, index: int) -> tuple[int, int] | None:
        """Both dimensions of output `index` for one picture; None if it has another rank."""
        shape = self.shapes[index]
        return (shape[1], shape[2]) if len(shape) == 3 and shape[0] == -1 else None

    @property
    def prototypes(self) -> tuple[int, int] | None:
        """Of a segmentation export: the number of the other output, and the number of mask coefficients."""
        if len(self.outputs) != 2 or {len(shape) for shape in self.shapes} != {3, 4}:
            return None
        masks = next(number for number, shape in enumerate(self.shapes) if len(shape) == 4)
        return 1 - masks, self.shapes[masks][1]

    def called(self, *words: str) -> int | None:
        """The first output whose name contains one of `words`, without regard to case."""
        names = [name.lower() for name in self.output_names]
        matches = (index for word in words for index, name in enumerate(names) if word in name)
        return next(matches, None)

    def cells(self, strides: tuple[int, ...]) -> int:
        """Number of cells of the grids with these strides."""
        return sum(-(-self.height // stride) * -(-self.width // stride) for stride in strides)

    def is_grid(self, boxes: int, per_cell: int = 1) -> bool:
        """Whether `boxes` is the number of boxes of a network with `per_cell` boxes in every cell."""
        return any(boxes == per_cell * self.cells(strides) for strides in _STRIDES)

    def centres(self, boxes: int) -> npt.NDArray[np.float32] | None:
        """`(boxes, 2)` float32: centres of the cells of a network with so many boxes, x and y in pixels, in any order.

        None: `boxes` is not a number of boxes of such a network.
        """
        for per_cell in (1, 3):
            for strides in _STRIDES:
                if boxes == per_cell * self.cells(strides):
                    return np.tile(np.concatenate([self._centres(stride) for stride in strides]), (per_cell, 1))
        return None

    def _centres(self, stride: int) -> npt.NDArray[np.float32]:
        rows, columns = np.indices((-(-self.height // stride), -(-self.width // stride)), np.float32)
        return (np.stack([columns.ravel(), rows.ravel()], axis=1) + np.float32(0.5)) * np.float32(stride)

    @property
    def task(self) -> str | None:
        """Ultralytics' name of the task: `detect`, `segment`, `pose`, `obb`; None if the file does not say."""
        task = self.metadata.get("task", "").strip("'\" ").lower()
        return task if task in _TASKS else None

    def is_exported_for(self, task: str) -> bool:
        """Whether the metadata is Ultralytics' own, and names this task."""
        authors = self.metadata.get("author", "") + self.metadata.get("description", "")
        return self.task == task and "ultralytics" in authors.lower()

    @property
    def end2end(self) -> bool | None:
        """Whether the exporter says that the model chooses its boxes itself; None if it does not say."""
        said = self.metadata.get("end2end", "").strip().lower()
        if said == "true" or re.search(r"['\"]nms['\"]: *[Tt]rue", self.metadata.get("args", "")):
            return True
        return False if said == "false" else None

    @property
    def key_points(self) -> tuple[int, int] | None:
        """Number of key points and of values for each; None if the file does not say."""
        try:
            points, values = (int(number) for number in ast.literal_eval(self.metadata.get("kpt_shape", "")))
        except (ValueError, SyntaxError, TypeError):
            return None
        return points, values

    @cached_property
    def names(self) -> tuple[str, ...] | None:
        """The names of the classes; None if the file has none.

        Raises:
            ModelError: they cannot be read.
        """
        text = self.metadata.get("names", "").strip()
        if text in ("", "None", "null"):
            return None
        try:
            names = ast.literal_eval(text)
            if isinstance(names, dict):  # JSON writes the numbers as texts
                by_number = {int(number): name for number, name in names.items()}
                names = [by_number[number] for number in range(len(names))]
            if not isinstance(names, (list, tuple)) or not all(isinstance(name, (str, int)) for name in names):
                raise ValueError(text)
        except (ValueError, SyntaxError, KeyError, TypeError):
            raise ModelError(
                f"{self.model}: metadata `names` is not a list of class names: {text[:80]!r}; export it again"
            ) from None
        return tuple(map(str, names)) or None

    def allows(self, classes: int) -> bool:
        """Whether the model may have this number of classes: that of the names; without names, a usual number."""
        return 1 <= classes <= _MOST_CLASSES if self.names is None else len(self.names) == classes

    def described(self) -> str:
        """The input, names and outputs, for a message."""
        count = len(self.names or ())
        known = [f"{count} class name{'' if count == 1 else 's'}" if count else "no class names"]
        if self.task is not None:
            known.append(f"task {self.task}")
        if self.end2end is not None:
            known.append("end to end" if self.end2end else "not end to end")
        return (
            f"input [B, 3, {self.height}, {self.width}], {', '.join(known)} in its metadata, "
            f"output {self.described_outputs()}"
        )

    def described_outputs(self) -> str:
        """The shapes of the outputs, with their names where there are several."""
        return ", ".join(self._described_outputs()) or "nothing"

    def _described_outputs(self) -> Iterator[str]:
        for number, output in enumerate(self.outputs):
            named = len(self.outputs) > 1 and number < len(self.output_names)
            yield f"{self.output_names[number]} {list(output.shape)}" if named else str(list(output.shape))
