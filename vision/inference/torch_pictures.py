"""Carries pictures to the device of a PyTorch model, as bytes, and prepares them there."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from vision.inference.backends.pytorch import TorchModel
from vision.inference.backends.torch_extra import import_torch

_MOST_THREADS = 16
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class TorchPictures:
    """A buffer for the pictures of one call after the other. Not thread-safe.

    On the host it is in page-locked ("pinned") memory, from which a GPU copies without help of the CPU. A byte is a
    quarter of a float, so copying bytes and converting them on the device takes a quarter of the time.
    """

    def __init__(
        self,
        model: TorchModel,
        *,
        scale: float,
        means: Sequence[float],
        deviations: Sequence[float],
        rgb: bool,
    ) -> None:
        """Every byte becomes `(byte * scale - mean) / deviation`, per channel in the network's order."""
        self._model, self._rgb = model, rgb
        torch = import_torch()
        deviation = torch.tensor(deviations, dtype=torch.float32, device=model.torch_device)
        self._factors = scale / deviation
        self._offsets = -torch.tensor(means, dtype=torch.float32, device=model.torch_device) / deviation
        self._buffer: Any = None

    def buffer(self, count: int, height: int, width: int) -> npt.NDArray[np.uint8]:
        """`(count, height, width, 3)` uint8 BGR, to be filled; valid until the next call."""
        if self._buffer is None or self._buffer.shape[1:3] != (height, width) or len(self._buffer) < count:
            torch = import_torch()
            self._buffer = torch.empty(
                (count, height, width, 3), dtype=torch.uint8, pin_memory=self._model.device != "cpu"
            )
        view: npt.NDArray[np.uint8] = self._buffer.numpy()[:count]
        return view

    def prepared(self, pictures: slice) -> Any:
        """These pictures of the buffer as the network takes them: `(n, 3, height, width)` on its device."""
        on_device = self._buffer[pictures].to(self._model.torch_device, non_blocking=True)
        if self._rgb:
            on_device = on_device.flip(-1)
        values = on_device.float().mul_(self._factors).add_(self._offsets).to(self._model.dtype)
        # Channels stay last in memory, which is the order that a GPU's convolutions prefer.
        return values.permute(0, 3, 1, 2)


def on_threads(function: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """The results of `function` for all items, computed by several threads; OpenCV computes outside Python's lock."""
    if len(items) < 2:
        return [function(item) for item in items]
    return list(_pool().map(function, items))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1), thread_name_prefix="pictures")
