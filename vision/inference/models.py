"""The neural networks of one process, each loaded once and shared by all cameras."""

from __future__ import annotations

import threading
from pathlib import Path

import structlog

from shared.camera_config import CameraConfig
from shared.config import DetectorFile, EmbedderConfig, SiteConfig
from vision.inference.detection import Detector, resolve_classes
from vision.inference.embedding import Embedder, Preprocessing
from vision.inference.gpus import GpuTrouble
from vision.inference.selection import Thresholds

_log = structlog.get_logger()


def load_embedder(config: EmbedderConfig, threads: int, engine_cache: Path | None = None) -> Embedder:
    """Load the embedder that a site configures; `threads` and `engine_cache` as for `load_model`.

    Raises:
        ModelError: the model cannot be used.
    """
    return Embedder.load(
        config.model,
        Preprocessing.of(config),
        device=config.backend,
        threads=threads,
        engine_cache=engine_cache,
    )


class Models:
    """All detectors of a site, by path, head and size, and its embedder."""

    def __init__(self, config: SiteConfig, threads: int, engine_cache: Path | None = None) -> None:
        """Load the embedder; detectors are loaded when first used.

        `threads` is the number of threads of a model call on the CPU (0: one per core). `engine_cache` is the folder in
        which TensorRT engines are cached; None: they are built at every start.

        Raises:
            ModelError: the embedder cannot be used.
        """
        self._config, self._threads, self._engine_cache = config, threads, engine_cache
        self._detectors: dict[DetectorFile, Detector] = {}
        self._loading: dict[DetectorFile, threading.Lock] = {}
        self._lock = threading.Lock()
        self.embedder = load_embedder(config.embedder, threads, engine_cache)
        self._log_loaded("embedder", config.embedder.model, self.embedder)

    def path_of(self, camera: CameraConfig) -> Path:
        """Path or published name of a camera's detector."""
        return self._config.detector_of(camera).model

    def detector(self, camera: CameraConfig | None) -> Detector:
        """The detector of a camera, loaded on first use; None: that of the site. Thread-safe.

        While one thread loads a model, only threads that need the same model wait.

        Raises:
            ModelError: the model cannot be used.
        """
        file = self._config.detector_of(camera)
        with self._lock:
            loading = self._loading.setdefault(file, threading.Lock())
        with loading:
            if file not in self._detectors:
                detector = Detector.load(
                    file.model,
                    head=file.head,
                    size=file.size,
                    device=self._config.detector.backend,
                    threads=self._threads,
                    engine_cache=self._engine_cache,
                )
                self._detectors[file] = detector
                self._log_loaded("detector", file.model, detector)
            return self._detectors[file]

    def thresholds(self, camera: CameraConfig) -> Thresholds:
        """The detection thresholds of a camera: its own settings, and the site's for those it leaves out.

        Raises:
            ModelError: the camera's detector cannot be used, or lacks one of the classes.
        """
        site, own = self._config.detector, camera.detector
        classes = own.classes if own is not None and own.classes is not None else site.classes
        names = self.detector(camera).class_names
        return Thresholds(
            min_score=own.min_score if own is not None and own.min_score is not None else site.min_score,
            nms_iou=own.nms_iou if own is not None and own.nms_iou is not None else site.nms_iou,
            class_ids=None if classes is None else resolve_classes(classes, names),
            max_detections=site.max_detections,
        )

    @property
    def device(self) -> str:
        """Devices of all loaded networks, `cpu`, `cuda` or `tensorrt`, separated by spaces."""
        return " ".join(sorted({network.device for network in self._networks()}))

    @property
    def backend(self) -> str:
        """Runtimes of all loaded networks, `onnxruntime`, `pytorch` or `tensorrt`, separated by spaces."""
        return " ".join(sorted({network.runtime for network in self._networks()}))

    @property
    def gpu_trouble(self) -> GpuTrouble | None:
        """Why a network runs on the CPU although a GPU is present; None if none does."""
        return next((network.gpu_trouble for network in self._networks() if network.gpu_trouble is not None), None)

    @property
    def placements(self) -> list[tuple[str, str, str, GpuTrouble | None]]:
        """What runs where, without repetition: `detector` or `embedder`, device, runtime, why it is on the CPU."""
        kinds = (("detector" if isinstance(network, Detector) else "embedder", network) for network in self._networks())
        found = dict.fromkeys((kind, network.device, network.runtime, network.gpu_trouble) for kind, network in kinds)
        return sorted(found, key=lambda placement: placement[:3])

    def _networks(self) -> list[Detector | Embedder]:
        return [self.embedder, *self._detectors.copy().values()]

    def _log_loaded(self, what: str, path: Path, network: Detector | Embedder) -> None:
        facts = {"head": network.head, "why": network.why} if isinstance(network, Detector) else {}
        _log.info("model loaded", kind=what, model=path.name, device=network.device, backend=network.runtime, **facts)
        if isinstance(network, Detector) and network.objection is not None:
            _log.warning(
                "detector.head may be wrong; look at what the model finds with `mtmc models try`",
                model=path.name,
                head=network.head,
                reason=network.objection,
            )
        if (trouble := network.gpu_trouble) is not None:
            _log.warning(
                "a model runs on the CPU although there is an NVIDIA GPU",
                model=path.name,
                reason=trouble.reason,
                advice=f"{trouble.advice}; or set backend: cpu",
            )
