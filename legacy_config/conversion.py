"""Converts the settings of a `run_live_mtmc.py` configuration to those of a site."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from legacy_config.keys import SECTIONS, USED
from legacy_config.paths import Roots
from legacy_config.reading import Findings, read_camera, read_keys
from shared.camera_source import is_file_source
from shared.config_fields import is_published_detector
from shared.errors import Problem
from shared.layout import columns_of
from shared.text_file import read_text
from shared.yaml_file import Path_, dotted

_DEFAULT = "default of run_live_mtmc.py"
_REQUIRED = "missing"
"""Placeholder for a required setting without a value; a problem says why."""
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_.-]+")
_TRACKERS = ("bytetrack_iou", "deepsort", "fairmot")
_CROP_WIDTH, _CROP_HEIGHT = 128, 256
"""Pixels; `run_live_mtmc.py` scales every input of REID_ONNX to this size, and its exporter fixes it in the model."""
_EMBEDDED_AT_ONCE = 5
"""A new track is embedded at each of its first ticks, this many."""
_OTHER_EMBEDDERS = frozenset({"MOT.REID_TRT", "MOT.REID_MODEL_OPTS", "MOT.REID_MODEL_CKPT"})
"""Keys that `run_live_mtmc.py` prefers over REID_ONNX, or uses instead of it."""


@dataclass
class Conversion:
    """The result of a conversion: the settings of a site, and findings about the configuration."""

    findings: Findings
    site: dict[str, Any] = field(default_factory=dict)
    """The settings of a site file; paths are absolute."""
    comments: dict[Path_, str] = field(default_factory=dict)
    """Setting → why it differs from the configuration."""
    origins: dict[Path_, str] = field(default_factory=dict)
    """Setting → the key of the configuration that it comes from."""
    relative: set[Path_] = field(default_factory=set)
    """Settings whose paths were relative in the configuration."""

    def put(self, location: Path_, value: Any, key: str, comment: str = "") -> None:
        """Sets one setting that comes from `key`."""
        target: Any = self.site
        for part in location[:-1]:
            target = target[part] if isinstance(part, int) else target.setdefault(part, {})
        target[location[-1]] = value
        self.origins[location] = key
        if comment:
            self.comments[location] = comment

    def at(self, location: Path_) -> Any:
        """The value of one setting."""
        value: Any = self.site
        for part in location:
            value = value[part]
        return value

    def as_written(self, problem: Problem) -> Problem:
        """`problem` of a setting, as a problem of the key that the setting comes from."""
        if problem.where != str(self.findings.file):  # an environment variable that overrides the file
            return problem
        parts = problem.key.split(".")
        origins = {dotted(location): key for location, key in self.origins.items()}
        for n in range(len(parts), 0, -1):
            key = origins.get(".".join(parts[:n]))
            if key:
                return replace(problem, key=".".join([key, *parts[n:]]))
        return problem


def is_legacy_config(written: Mapping[str, Any]) -> bool:
    """Whether these settings are a configuration of `run_live_mtmc.py` and not a site file."""
    return not SECTIONS.isdisjoint(written)


def convert(
    written: Mapping[str, Any], file: Path, root: Path | None = None, *, check_files: bool = True
) -> Conversion:
    """Converts `written`, the content of `file`.

    Relative paths start from `root`, else from SYSTEM.ROOT_DIR, else from the folder of the file (see `Roots`). With
    `check_files`, every file that is named must exist. Problems are collected in the findings; a key with a problem
    counts as not set.
    """
    findings = Findings(file)
    values = read_keys(written, findings)
    named = values.get("SYSTEM.ROOT_DIR")
    if root is None and named is not None:
        root = file.parent / Path(named).expanduser()
        if check_files and not root.is_dir():
            findings.problem("SYSTEM.ROOT_DIR", named, "folder not found; give another with --root")
            root = None
    converter = _Converter(values, Roots.of(file, root), findings, check_files)
    converter.convert()
    return converter.result


class _Converter:
    """One conversion in progress."""

    def __init__(self, values: Mapping[str, Any], roots: Roots, findings: Findings, check_files: bool) -> None:
        self._values, self._roots, self._findings, self._check_files = values, roots, findings, check_files
        self.result = Conversion(findings)

    def convert(self) -> None:
        self.result.put(("site",), name_from(self._findings.file.stem, "site"), "", "from the name of the file")
        self._cameras()
        self._detector()
        self._embedder()
        self._tracker()
        self._association()
        for key in ("LIVE.TARGET_FPS", "LIVE.MAX_SKEW_TICKS", "LIVE.STALL_SECONDS"):
            self._plain(key)
        self._layout()
        comment = "run_live_mtmc.py listened on every interface, as 0.0.0.0 does"
        self.result.put(("streamer", "host"), "127.0.0.1", "", comment)
        self._plain("LIVE.MJPEG_PORT")
        self._gpus()

    def _value(self, key: str) -> Any:
        return self._values.get(key, USED[key].default)

    def _comment(self, key: str) -> str:
        return "" if key in self._values else _DEFAULT

    def _plain(self, key: str) -> None:
        """Copies the value of a key that has the same meaning as a setting."""
        if self._value(key) is not None:
            self.result.put(USED[key].becomes, self._value(key), key, self._comment(key))

    def _file(self, location: Path_, written: str, key: str, *alternatives: str, advice: str = "") -> None:
        """Sets the path of a file: `written`, or the first of the `alternatives` that exists."""
        found = self._roots.find(written, *alternatives)
        if found is None and self._check_files and not self._findings.has_problem(key):
            self._findings.problem(key, written, self._roots.missing(written) + advice)
        self.result.put(location, str(found or next(self._roots.places(written))), key)
        if not Path(written).expanduser().is_absolute():
            self.result.relative.add(location)

    # -- cameras ---------------------------------------------------------------------------------------------

    def _cameras(self) -> None:
        key = "EXPRESS.CAMERAS"
        cameras = self._values.get(key, [])
        if not cameras and not self._findings.has_problem(key):
            self._findings.problem(key, "", "is required: a list of cameras, each with at least a video")
        self.result.put(("cameras",), [{} for _ in cameras], key)
        for i, camera in enumerate(cameras):
            self._camera(i, camera)

    def _camera(self, i: int, written: Any) -> None:
        key = f"EXPRESS.CAMERAS.{i}"
        self.result.origins["cameras", i] = key
        camera = read_camera(written, key, self._findings)
        self._name(i, str(camera.get("name", f"cam_{i}")), key)
        self._source(i, str(camera.get("video", _REQUIRED)), key, given="video" in camera)
        if "detection_mask" in camera:
            self._file(("cameras", i, "mask"), camera["detection_mask"], f"{key}.detection_mask")
        elif "MOT.DETECTION_MASK" in self._values:
            self._file(("cameras", i, "mask"), self._values["MOT.DETECTION_MASK"], "MOT.DETECTION_MASK")
        calibration = camera.get("calibration", self._values.get("MOT.CALIBRATION"))
        if calibration is not None and self._roots.find(calibration) is not None:
            # A missing file was no error, because nothing used it.
            given = f"{key}.calibration" if "calibration" in camera else "MOT.CALIBRATION"
            self._file(("cameras", i, "calibration"), calibration, given)
        if camera.get("detector") not in (None, self._values.get("MOT.DETECTOR")):
            self._model(("cameras", i, "detector", "model"), camera["detector"], f"{key}.detector")
        if "tracked_classes" in camera:
            classes = list(camera["tracked_classes"])
            self.result.put(("cameras", i, "detector", "classes"), classes, f"{key}.tracked_classes")

    def _name(self, i: int, written: str, key: str) -> None:
        name = name_from(written, f"cam_{i}")
        changed = name != written
        self.result.put(("cameras", i, "name"), name, f"{key}.name", f"was {written!r}" if changed else "")
        if changed:
            self._findings.notes.append(f"camera {written!r} is renamed to {name}, also in URLs")

    def _source(self, i: int, video: str, key: str, *, given: bool) -> None:
        location: Path_ = ("cameras", i, "source")
        if not given or not is_file_source(video):
            self.result.put(location, video, f"{key}.video")
            return
        self._file(location, video, f"{key}.video")
        self.result.put(("cameras", i, "loop"), self._value("LIVE.LOOP_VIDEO"), "LIVE.LOOP_VIDEO")

    # -- models ----------------------------------------------------------------------------------------------

    def _detector(self) -> None:
        key = "MOT.DETECTOR"
        of_cameras = [camera.get("detector", {}).get("model") for camera in self.result.site["cameras"]]
        if key in self._values:
            self._model(("detector", "model"), self._values[key], key)
        elif of_cameras and None not in of_cameras:
            self.result.put(("detector", "model"), of_cameras[0], key, "unused: every camera has its own")
        else:
            self.result.put(("detector", "model"), _REQUIRED, key)
            if not self._findings.has_problem(key):
                self._findings.problem(key, "", "is required: the path of a detector")
        if self._values.get("SYSTEM.GPU_IDS") == []:
            self.result.put(("detector", "backend"), "cpu", "SYSTEM.GPU_IDS")
        self._plain("MOT.TRACKED_CLASSES")

    def _model(self, location: Path_, written: str, key: str) -> None:
        """Sets a detector: a file (`.pt` may be omitted), or the name of weights that Ultralytics publishes."""
        name = written.removesuffix(".pt")
        if self._roots.find(written, f"{written}.pt") is None and is_published_detector(Path(name)):
            self.result.put(location, name, key)
        else:
            self._file(location, written, key, f"{written}.pt")
        if not str(self.result.at(location)).endswith(".onnx") and not can_run_torch():
            advice = "run: pip install 'mtmc[torch]', or export it to ONNX and use that file"
            self._findings.notes.append(f"{key} = {written} needs PyTorch, which is not installed; {advice}")

    def _embedder(self) -> None:
        key = "MOT.REID_ONNX"
        if key in self._values:
            self._file(("embedder", "model"), self._values[key], key, advice=self._export())
            for other in sorted(_OTHER_EMBEDDERS.intersection(self._values)):
                self._findings.ignore(other)
        else:
            self.result.put(("embedder", "model"), _REQUIRED, key)
            self._no_embedder(key)
        if self._values.get("SYSTEM.GPU_IDS") == []:
            self.result.put(("embedder", "backend"), "cpu", "SYSTEM.GPU_IDS")
        self.result.put(("embedder", "width"), _CROP_WIDTH, key, "run_live_mtmc.py scales every crop to this size")
        self.result.put(("embedder", "height"), _CROP_HEIGHT, key)

    def _no_embedder(self, key: str) -> None:
        if "MOT.REID_TRT" in self._values:
            message = "is required: the file that the engine of MOT.REID_TRT was built from"
        else:
            message = f"is required: the path of the embedder{self._export()}"
        if not self._findings.has_problem(key):
            self._findings.problem(key, "", message)

    def _export(self) -> str:
        """How to export the configured PyTorch checkpoint to ONNX; empty if there is none."""
        options, checkpoint = self._values.get("MOT.REID_MODEL_OPTS"), self._values.get("MOT.REID_MODEL_CKPT")
        if not options and not checkpoint:
            return ""
        given = f" --checkpoint {checkpoint}" if checkpoint else ""
        output = Path(checkpoint or options or "").parent / "model.onnx"
        return (
            "; mtmc cannot load its checkpoint, so export it in the folder of run_live_mtmc.py: "
            f"python3 reid/onnx_exporter.py --opts {options or 'OPTS.yaml'}{given} --output {output}"
        )

    # -- the rest --------------------------------------------------------------------------------------------

    def _tracker(self) -> None:
        tracker = self._values.get("MOT.TRACKER", _TRACKERS[0])
        if tracker not in _TRACKERS:
            self._findings.problem("MOT.TRACKER", tracker, f"unknown tracker; use one of {', '.join(_TRACKERS)}")
        elif tracker != _TRACKERS[0]:
            self._findings.ignore("MOT.TRACKER")
        self._plain("MOT.MIN_FRAMES")

    def _association(self) -> None:
        self._plain("MTMC.MIN_SIM")
        self._plain("MTMC.LINKAGE")
        key = "LIVE.MIN_TRACK_FRAMES"
        frames, comment = self._value(key) or 1, self._comment(key)
        if frames > _EMBEDDED_AT_ONCE:
            comment = (
                f"counts embeddings: one at each of {_EMBEDDED_AT_ONCE} ticks, then one every embedder.refresh_seconds"
            )
        self.result.put(("association", "min_track_frames"), frames, key, comment)
        key = "LIVE.CLUSTER_INTERVAL"
        seconds, comment = self._value(key), self._comment(key)
        if seconds == 0:
            seconds, comment = 0.001, "was 0, which means at every tick"
        self.result.put(("association", "cluster_interval_seconds"), seconds, key, comment)

    def _layout(self) -> None:
        key = "MTMC.CAMERA_LAYOUT"
        written = self._values.get(key)
        if written is None:
            return
        self._file(("layout", "file"), written, key)
        found = self._roots.find(written)
        columns = _columns(found) if found else 0
        names = [camera["name"] for camera in self.result.site["cameras"]]
        if columns > len(names):
            unused = [f"unused_{i}" for i in range(len(names), columns)]
            self.result.put(("layout", "cameras"), [*names, *unused], key)
            self._findings.notes.append(f"{key} has {columns} cameras; only the first {len(names)} are used")

    def _gpus(self) -> None:
        numbers = self._values.get("SYSTEM.GPU_IDS")
        if numbers:
            self.result.put(("worker", "gpus"), list(numbers), "SYSTEM.GPU_IDS", "`mtmc up` runs one worker per GPU")


def _columns(layout: Path) -> int:
    """The number of cameras in a layout file; 0 if it cannot be read, which is reported where the layout is used."""
    try:
        return columns_of(read_text(layout))
    except (OSError, UnicodeDecodeError):
        return 0


def can_run_torch() -> bool:
    """Whether the extra `torch` is installed."""
    return importlib.util.find_spec("ultralytics") is not None


def name_from(text: str, otherwise: str) -> str:
    """`text` without characters that are not allowed in a site or camera name; `otherwise` if nothing remains."""
    return _NOT_IN_A_NAME.sub("_", text).lstrip("_.-")[:64] or otherwise
