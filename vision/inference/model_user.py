"""What a detector and an embedder have in common: both run one loaded model and say which."""

from __future__ import annotations

from vision.inference.backends.model import Model
from vision.inference.gpus import GpuTrouble


class ModelUser:
    """Base of `Detector` and `Embedder`: holds the model and reports its properties."""

    def __init__(self, model: Model) -> None:
        self._model = model

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
    def gpu_trouble(self) -> GpuTrouble | None:
        """Why `auto` chose the CPU although a GPU is present; None if it did not, or if none is."""
        return self._model.gpu_trouble

    @property
    def batch_size(self) -> int | None:
        """The model's fixed batch size; None if any size works."""
        return self._model.batch_size
