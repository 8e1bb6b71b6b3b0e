"""The slow part of claiming a camera: examining its source, loading its model and mask, opening the source.

It runs on a thread per camera, which the roster watches and abandons when it takes too long: a dead network share or a
hung driver must not delay the other cameras or the loop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import structlog

from shared.camera_config import CameraConfig
from shared.config import SiteConfig
from shared.errors import MaskError, ModelError
from vision.inference.detection import Detector
from vision.inference.models import Models
from vision.inference.selection import Thresholds
from vision.video.address import is_local, local_problem
from vision.video.mask import camera_mask
from vision.video.opening import open_source
from vision.video.options import SourceOptions
from vision.video.source import Source
from vision.video.timing import Timing

_log = structlog.get_logger()
OPENING_LIMIT_S = 15.0
"""Examining and opening a source takes milliseconds. After this long, the file system or the driver hangs."""
LOADING_LIMIT_S = 1800.0
"""Building a TensorRT engine takes minutes on a small GPU."""


@dataclass(frozen=True)
class Prepared:
    """What the loop needs to handle a camera."""

    source: Source
    detector: Detector
    thresholds: Thresholds
    mask: npt.NDArray[np.uint8] | None
    timing: Timing


@dataclass(frozen=True)
class Failed:
    """Why a camera cannot run on this worker now."""

    reason: str
    not_here: bool = False
    """Whether its file or device is missing on this host; another host may have it."""


@dataclass(frozen=True)
class Circumstances:
    """What the roster knows about a camera that it claims."""

    site_time_ns: Callable[[], int]
    timing: Timing
    known_length: str | None
    moved: str | None
    """That the last owner found the camera moved."""
    movable: bool
    """Whether another live worker could claim the camera, so that a source missing on this host is left to it."""


class _Abandoned(Exception):
    """The preparation was abandoned; its outcome is not needed."""


class Preparation:
    """The preparation of one camera on its own thread; never raises."""

    def __init__(
        self,
        config: CameraConfig,
        site: SiteConfig,
        models: Models,
        published_mask: bytes | None,
        circumstances: Circumstances,
    ) -> None:
        self._config, self._site, self._models = config, site, models
        self._published_mask, self._circumstances = published_mask, circumstances
        self._lock = threading.Lock()
        self._outcome: Prepared | Failed | None = None
        self._abandoned = False
        self._step, self._limit_s = "examining its source", OPENING_LIMIT_S
        self._step_began_s = time.monotonic()
        # A daemon thread, because a hung thread must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=f"prepare-{config.name}", daemon=True)
        self._thread.start()

    @property
    def hangs(self) -> bool:
        """Whether its thread still runs although it was abandoned."""
        return self._abandoned and self._thread.is_alive()

    def outcome(self) -> Prepared | Failed | None:
        """The result, or None while it runs. A step that takes too long is abandoned, with the result `Failed`."""
        with self._lock:
            took_s = time.monotonic() - self._step_began_s
            if self._outcome is None and took_s > self._limit_s:
                self._abandoned = True
                self._outcome = Failed(f"{self._step} did not finish within {self._limit_s:.0f} s; abandoned it")
            return self._outcome

    def abandon(self) -> None:
        """Abandons the preparation; if its source is opened nevertheless, it is closed at once."""
        with self._lock:
            self._abandoned = True
            prepared = self._outcome if isinstance(self._outcome, Prepared) else None
        if prepared is not None:
            close_in_background(prepared.source)

    def _run(self) -> None:
        try:
            outcome = self._prepare()
        except _Abandoned:
            return
        except (ModelError, MaskError) as error:
            # The camera's own model, classes or mask are wrong: only that camera fails.
            outcome = Failed(f"its mask {error}" if isinstance(error, MaskError) else str(error))
        except Exception as error:  # noqa: BLE001 (the top of a thread: the camera must not wait forever)
            _log.exception("preparing a camera failed", camera=self._config.name)
            outcome = Failed(f"an unexpected error ({type(error).__name__}); see the worker's log")
        with self._lock:
            late = self._abandoned
            if not late:
                self._outcome = outcome
        if late and isinstance(outcome, Prepared):
            outcome.source.close()

    def _prepare(self) -> Prepared | Failed:
        config = self._config
        if self._circumstances.movable and is_local(config.source) and (problem := local_problem(config.source)):
            return Failed(config.shown(problem), not_here=True)
        mask = self._mask()
        self._begin(f"loading the model {self._models.path_of(config).name}", LOADING_LIMIT_S)
        detector, thresholds = self._models.detector(config), self._models.thresholds(config)
        self._begin("opening its source", OPENING_LIMIT_S)
        timing = self._circumstances.timing
        source = open_source(
            config.source,
            camera=config.name,
            site_time_ns=self._circumstances.site_time_ns,
            origin_ns=timing.begin_ns,
            loop=config.loop,
            fps=config.fps,
            interval_s=timing.scale / self._site.clock.target_fps,
            known_length=self._circumstances.known_length,
            options=SourceOptions.of(config),
            moved=self._circumstances.moved,
            secrets=config.secrets,
        )
        return Prepared(source, detector, thresholds, mask, timing)

    def _begin(self, step: str, limit_s: float) -> None:
        with self._lock:
            if self._abandoned:
                raise _Abandoned
            self._step, self._limit_s, self._step_began_s = step, limit_s, time.monotonic()

    def _mask(self) -> npt.NDArray[np.uint8] | None:
        """The mask, from its image and polygons.

        Raises:
            MaskError: it cannot be read or used.
        """
        return camera_mask(self._mask_image(), self._config.mask_polygons)

    def _mask_image(self) -> bytes | None:
        """The published image; for a camera that was added or changed since, the file on this host."""
        path = self._config.mask
        if path is None or self._published_mask is not None:
            return self._published_mask
        try:
            return path.read_bytes()
        except OSError as error:
            raise MaskError(f"{path} cannot be read on this host ({error.strerror}); copy the file to it") from None


def close_in_background(source: Source) -> threading.Thread:
    """Closes a source on its own thread: if a read hangs, `close` takes almost a second."""
    thread = threading.Thread(target=source.close, name="close-source", daemon=True)
    thread.start()
    return thread
