"""Opens the files that a valid site names (masks, video files, models) and reports the unusable ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from launcher.site_file import as_written
from shared.config import DetectorFile, SiteConfig
from shared.config_file import ENV_PREFIX
from shared.errors import ConfigError, MaskError, ModelError, Problem, SourceUnavailable
from vision.inference.detection import Detector, resolve_classes
from vision.inference.models import load_embedder
from vision.video.mask import camera_mask, decode_mask
from vision.video.video_file import VideoFile

_FOR_ANY_MACHINE = ".onnx"
"""These models are tried on the CPU, which runs all of them. Others may need hardware of the workers' hosts."""


class FileChecks:
    """Checks the files of one site. A problem names the site file, or the environment variable that overrides it."""

    def __init__(self, site_file: Path, site: SiteConfig, environment: Mapping[str, str]) -> None:
        self._site_file, self._site = site_file, site
        self._overrides = {name.upper() for name in environment if name.startswith(ENV_PREFIX)}

    def masks(self) -> Iterator[Problem]:
        """Masks that are not pictures, or hide everything."""
        for i, camera in enumerate(self._site.cameras):
            image = None
            if camera.mask is not None:
                try:
                    image = camera.mask.read_bytes()
                    decode_mask(image)
                except (MaskError, OSError) as error:
                    reason = f"cannot be read ({error.strerror})" if isinstance(error, OSError) else str(error)
                    yield self._problem(f"cameras.{i}.mask", camera.mask, reason)
                    continue
            try:
                camera_mask(image, camera.mask_polygons)
            except MaskError as error:
                yield self._problem(f"cameras.{i}.mask_polygons", "", str(error))

    def videos(self) -> Iterator[Problem]:
        """Video files without a picture that can be decoded."""
        for i, camera in enumerate(self._site.cameras):
            if camera.is_file:
                reason = _video_problem(Path(camera.source), camera.name)
                if reason is not None:
                    yield self._problem(f"cameras.{i}.source", "", reason)

    def models(self) -> list[Problem]:
        """Models that cannot be opened or have an unknown format, and configured classes that they do not have."""
        return list(dict.fromkeys([*self._embedder(), *self._detectors()]))

    def _embedder(self) -> Iterator[Problem]:
        config = self._site.embedder
        if config.model.suffix == _FOR_ANY_MACHINE:
            try:
                load_embedder(config.model_copy(update={"backend": "cpu"}), threads=0)
            except ModelError as error:
                yield self._model_problem("embedder.model", config.model, error)

    def _detectors(self) -> Iterator[Problem]:
        site, loaded = self._site.detector, dict[DetectorFile, Detector | ModelError]()
        for i, camera in enumerate(self._site.cameras):
            own = camera.detector
            owns_model, owns_classes = own is not None and own.model, own is not None and own.classes
            file, classes = self._site.detector_of(camera), owns_classes or site.classes or ()
            if file.model.suffix != _FOR_ANY_MACHINE:
                continue
            if file not in loaded:
                loaded[file] = _load_detector(file)
            detector = loaded[file]
            if isinstance(detector, ModelError):
                yield self._model_problem(
                    f"cameras.{i}.detector.model" if owns_model else "detector.model", file.model, detector
                )
                continue
            try:
                resolve_classes(classes, detector.class_names)
            except ModelError as error:
                key = f"cameras.{i}.detector.classes" if owns_classes else "detector.classes"
                yield self._problem(key, "", str(error))

    def _model_problem(self, key: str, path: Path, error: ModelError) -> Problem:
        return self._problem(key, path, str(error).removeprefix(f"{path}: "))

    def _problem(self, key: str, value: Path | str, message: str) -> Problem:
        parts = key.upper().split(".")
        names = (ENV_PREFIX + "__".join(parts[:end]) for end in range(len(parts), 0, -1))
        where = next((name for name in names if name in self._overrides), str(self._site_file))
        if parts[0] == "CAMERAS":
            camera = self._site.cameras[int(parts[1])]
            return Problem(where, key, camera.shown(str(value)), camera.shown(message))
        return Problem(where, key, str(value), message)


def _load_detector(file: DetectorFile) -> Detector | ModelError:
    try:
        return Detector.load(file.model, head=file.head, size=file.size, device="cpu")
    except ModelError as error:
        return error


def _video_problem(path: Path, camera: str) -> str | None:
    try:
        video = VideoFile(path, camera)
    except SourceUnavailable as error:
        return error.reason
    try:
        return None if video.read() else f"{path} has no frame that can be decoded; convert it, or copy it again"
    finally:
        video.close()


def require_usable_files(site_file: Path, site: SiteConfig, environment: Mapping[str, str]) -> None:
    """Opens the models and masks before any process starts. Video files are not checked: a bad one stops one camera.

    Raises:
        ConfigError: a file is unusable; carries every problem.
    """
    checks = FileChecks(site_file, site, environment)
    problems = [*checks.models(), *checks.masks()]
    if problems:
        raise ConfigError(as_written(site_file, problems))
