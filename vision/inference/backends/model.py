"""The interface of all loaded networks: batches of pictures in, arrays out."""

from __future__ import annotations

import ast
import contextlib
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from shared.errors import InferenceFailed, ModelError
from vision.inference.backends.batch_limit import BatchLimit
from vision.inference.gpus import GpuTrouble

Device: TypeAlias = Literal["tensorrt", "cuda", "cpu"]
Result = TypeVar("Result")
WantedDevice: TypeAlias = Literal["auto", "tensorrt", "cuda", "cpu"]


@dataclass(frozen=True, eq=False)
class Model(ABC):
    """A loaded model that takes a batch of pictures, given as `[batch, 3, height, width]`."""

    path: Path
    checksum: str
    """Of the file and its further parts (`checksum_of`); identifies an embedder."""
    runtime: str
    """`onnxruntime`, `pytorch` or `tensorrt`."""
    device: Device
    metadata: Mapping[str, str]
    """Metadata stored by the exporter; from Ultralytics `names`, `imgsz` and `end2end`, as Python literals."""
    input_shape: tuple[int | None, ...]
    """`(batch, channels, height, width)`; None: a dynamic dimension."""
    max_batch: int
    """Maximum number of pictures per call, for a model with a dynamic batch; bounds its memory."""
    gpu_trouble: GpuTrouble | None = field(default=None, kw_only=True)
    """Why `auto` chose the CPU although a GPU is present; None if it did not, or if none is."""
    limit: BatchLimit = field(default_factory=BatchLimit, init=False)

    _errors: ClassVar[tuple[type[Exception], ...]]
    """Exceptions that the runtime raises when a call fails."""

    @property
    def input_name(self) -> str:
        """Name of the input with the pictures; empty if the file format has none."""
        return ""

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs; empty if the file format has none."""
        return ()

    @property
    def takes_bytes(self) -> bool:
        """Whether pictures are given as uint8, 0 to 255."""
        return False

    @property
    def takes_sizes(self) -> bool:
        """Whether the model also takes the sizes of the pictures, and returns boxes in pixels of these."""
        return False

    @property
    def channels_last(self) -> bool:
        """Whether the file's input is `[batch, height, width, 3]`."""
        return False

    @property
    def batch_size(self) -> int | None:
        """The model's fixed batch size; None if any size works."""
        return self.input_shape[0]

    def picture_size(self, default: tuple[int, int] | None = None) -> tuple[int, int]:
        """`(height, width)` of the input in pixels: fixed in the graph, else `default`, else `imgsz` of the metadata.

        Raises:
            ModelError: none of them is set.
        """
        _, _, height, width = self.input_shape
        if height is not None and width is not None:
            return height, width
        if default is None and "imgsz" in self.metadata:
            with contextlib.suppress(ValueError, SyntaxError, TypeError):
                stated = ast.literal_eval(self.metadata["imgsz"])
                sides = [int(side) for side in (stated if isinstance(stated, (list, tuple)) else [stated])]
                default = (sides[0], sides[-1]) if sides and min(sides) > 0 else None
        if default is None:
            raise ModelError(
                f"{self.path}: has a dynamic input size and no imgsz in its metadata; "
                "set detector.size (for an embedder its width and height), or export it with a fixed size"
            )
        return height or default[0], width or default[1]

    def blank(self, picture_size: tuple[int, int] | None = None) -> npt.NDArray[np.float32]:
        """The smallest batch that the model accepts, all black: `(batch, 3, height, width)` float32."""
        return np.zeros((self.batch_size or 1, 3, *self.picture_size(picture_size)), np.float32)

    def run(self, batch: npt.NDArray[np.floating[Any]]) -> list[npt.NDArray[Any]]:
        """All outputs of the model for `batch`.

        A model with a fixed batch is called once per `batch_size` pictures, with the last call padded; a model with a
        dynamic batch once per `max_batch` pictures. If such a call fails, its pictures are tried in smaller batches,
        because the device's memory may be short.

        Args:
            batch: `(n, 3, height, width)` float, n ≥ 1.

        Returns:
            One array per output, with n rows each; half precision is converted to float32.

        Raises:
            InferenceFailed: the device failed, even with a single picture.
            ValueError: the batch is empty.
        """
        pieces = []
        for count, outputs in self.calls(batch):
            self._require_rows(outputs, self.batch_size or count)
            pieces.append([output[:count] for output in outputs])
        if len(pieces) == 1:
            return pieces[0]
        return [np.concatenate(parts) for parts in zip(*pieces, strict=True)]

    def calls(self, batch: npt.NDArray[np.floating[Any]]) -> Iterator[tuple[int, list[npt.NDArray[Any]]]]:
        """As `run`, but yields for each call the number of pictures and the outputs as they are.

        With a fixed batch, the outputs of the last call may also be those of padding, which comes last.
        """
        if not len(batch):
            raise ValueError("the batch is empty")
        return self.in_pieces(len(batch), batch.shape[1:], lambda piece: self._run_piece(batch[piece]))

    def in_pieces(
        self, count: int, shape: tuple[int, ...], call: Callable[[slice], Result]
    ) -> Iterator[tuple[int, Result]]:
        """Splits `count` pictures into calls of the network, smaller ones after a failure.

        Args:
            count: number of pictures.
            shape: of one picture, for the message.
            call: runs the network on these pictures.

        Yields:
            For each call its number of pictures and its result.

        Raises:
            InferenceFailed: the device failed, even with a single picture.
        """
        start = 0
        while start < count:
            size = self.batch_size or self.limit.size(self.max_batch)
            piece = slice(start, min(start + size, count))
            pictures = piece.stop - start
            try:
                result = call(piece)
            except self._errors as error:
                if self.batch_size is None and self.limit.failed(pictures):
                    continue
                raise InferenceFailed(
                    f"{self.path}: {pictures} picture{'s' * (pictures > 1)} {shape} failed on {self.device}: "
                    f"{self.reason(error)}"
                ) from error
            yield pictures, result
            start = piece.stop

    def _require_rows(self, outputs: list[npt.NDArray[Any]], count: int) -> None:
        if any(output.shape[:1] != (count,) for output in outputs):
            shapes = ", ".join(str(list(output.shape)) for output in outputs)
            raise ModelError(
                f"{self.path}: has an output without one row per picture: {shapes} for {count} "
                f"picture{'s' * (count > 1)}; export it with a batch dimension"
            )

    def _run_piece(self, piece: npt.NDArray[np.floating[Any]]) -> list[npt.NDArray[Any]]:
        missing = (self.batch_size or len(piece)) - len(piece)
        fed = np.concatenate([piece, np.zeros((missing, *piece.shape[1:]), piece.dtype)]) if missing else piece
        outputs = [np.asarray(output) for output in self._call(fed)]
        return [output.astype(np.float32) if output.dtype == np.float16 else output for output in outputs]

    @abstractmethod
    def _call(self, batch: npt.NDArray[np.floating[Any]]) -> list[Any]:
        """All outputs of one call of the network; raises one of `_errors` on failure."""

    @staticmethod
    def reason(error: Exception) -> str:
        """The whole reason that the runtime gives, in one line."""
        return " ".join(str(error).split()) or type(error).__name__


def checksum_of(path: Path, parts: Sequence[Path] = ()) -> str:
    """First 16 hex digits of the SHA-256 of the file at `path`; with `parts`, of the digests of all these files.

    Raises:
        ModelError: a file does not exist or cannot be read, or the one at `path` is empty.
    """
    digest = _sha256(path)
    if not path.stat().st_size:
        raise ModelError(f"{path}: is empty; download, copy or export it again")
    if parts:
        digest = hashlib.sha256(b"".join([digest, *map(_sha256, parts)])).digest()
    return digest.hex()[:16]


def _sha256(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except FileNotFoundError:
        raise ModelError(f"{path}: no such model file; download it there, or correct the path") from None
    except IsADirectoryError:
        raise ModelError(f"{path}: is a folder, not a model file; add the name of the file") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
