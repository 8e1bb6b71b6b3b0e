"""What a detector and an embedder have in common: both run one loaded model and say which."""

from __future__ import annotations

from vision.inference.backends.model import Model


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
    def batch_size(self) -> int | None:
        """The model's fixed batch size; None if any size works."""
        return self._model.batch_size
