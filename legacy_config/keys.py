"""The keys of a `run_live_mtmc.py` configuration: type, default, and the setting each becomes."""

from __future__ import annotations

import ast
import contextlib
import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.yaml_file import Path_


@dataclass(frozen=True)
class ValueKind:
    """A type of value."""

    fits: Callable[[Any], bool]
    requirement: str
    """The message for a value that does not fit."""


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_list_of_numbers(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(_is_whole(item) and item >= 0 for item in value)


TEXT = ValueKind(lambda value: isinstance(value, str), "must be text; put it in quotes")
FLAG = ValueKind(lambda value: isinstance(value, bool), "must be true or false")
WHOLE = ValueKind(_is_whole, "must be a whole number")
NUMBER = ValueKind(lambda value: _is_whole(value) or isinstance(value, float), "must be a number")
CLASSES = ValueKind(_is_list_of_numbers, "must be a list of class numbers, such as [2, 5, 7]")
GPUS = ValueKind(_is_list_of_numbers, "must be a list of GPU numbers, such as [0]; [] for the CPU")
TEXT_OR_NUMBER = ValueKind(lambda value: isinstance(value, str) or _is_whole(value), "must be text")
CAMERAS = ValueKind(lambda value: isinstance(value, list), "must be a list of cameras, each with at least a video")


@dataclass(frozen=True)
class Key:
    """A key that is converted."""

    kind: ValueKind
    default: Any = None
    becomes: Path_ = ()
    """The setting that the value is copied to; empty if the conversion needs code."""


# The defaults are those of config/defaults.py of run_live_mtmc.py.
USED: Mapping[str, Key] = {
    "SYSTEM.ROOT_DIR": Key(TEXT),
    "SYSTEM.GPU_IDS": Key(GPUS),
    "MOT.DETECTOR": Key(TEXT),
    "MOT.TRACKER": Key(TEXT),
    "MOT.TRACKED_CLASSES": Key(CLASSES, [1, 2, 3, 5, 7], ("detector", "classes")),
    "MOT.DETECTION_MASK": Key(TEXT),
    "MOT.CALIBRATION": Key(TEXT),
    "MOT.MIN_FRAMES": Key(WHOLE, None, ("tracker", "min_hits")),
    "MOT.REID_TRT": Key(TEXT),
    "MOT.REID_ONNX": Key(TEXT),
    "MOT.REID_MODEL_OPTS": Key(TEXT),
    "MOT.REID_MODEL_CKPT": Key(TEXT),
    "MTMC.CAMERA_LAYOUT": Key(TEXT),
    "MTMC.LINKAGE": Key(TEXT, "average", ("association", "linkage")),
    "MTMC.MIN_SIM": Key(NUMBER, 0.5, ("association", "min_similarity")),
    "EXPRESS.CAMERAS": Key(CAMERAS),
    "LIVE.TARGET_FPS": Key(NUMBER, 15, ("clock", "target_fps")),
    "LIVE.MJPEG_PORT": Key(WHOLE, 8080, ("streamer", "port")),
    "LIVE.LOOP_VIDEO": Key(FLAG, True),
    "LIVE.MAX_SKEW_TICKS": Key(WHOLE, 1, ("clock", "max_skew_ticks")),
    "LIVE.STALL_SECONDS": Key(NUMBER, 5.0, ("clock", "stall_seconds")),
    "LIVE.MIN_TRACK_FRAMES": Key(WHOLE, 3),
    "LIVE.CLUSTER_INTERVAL": Key(NUMBER, 0.5),
}
IGNORED = frozenset(
    {
        *("OUTPUT_DIR", "DEBUG_RUN", "FONT", "FONTSIZE", "SYSTEM.CFG_DIR"),
        *("MOT.VIDEO", "MOT.FONT", "MOT.SHOW", "MOT.ONLINE_VIDEO_OUTPUT", "MOT.VIDEO_OUTPUT", "MOT.REFINE"),
        *("MOT.REID_FP16", "MOT.REID_BATCHSIZE", "MOT.ENABLE_ALPR"),
        *("MOT.STATIC_ATTRIBUTES", "MOT.DYNAMIC_ATTRIBUTES"),
        *("MOT.ATTRIBUTE_INFER_FP16", "MOT.ATTRIBUTE_INFER_BATCHSIZE", "MOT.VALID_ZONEPATHS", "MOT.ZONE_MASK_DIR"),
        *("MTMC.PICKLED_TRACKLETS", "EXPRESS.FINAL_VIDEO_OUTPUT"),
        *("LIVE.SIMILARITY_THRESHOLD", "LIVE.GLOBAL_FEATURE_EMA", "LIVE.MAX_INACTIVE_SECS", "LIVE.SLEEP_ON_EMPTY"),
        *("EVAL.GROUND_TRUTHS", "EVAL.PREDICTIONS", "EVAL.MIN_IOU", "EVAL.IGNORE_FP", "EVAL.DROP_SINGLE_CAM"),
    }
)
CAMERA_USED: Mapping[str, ValueKind] = {
    "video": TEXT_OR_NUMBER,
    "name": TEXT_OR_NUMBER,
    "detector": TEXT,
    "tracked_classes": CLASSES,
    "detection_mask": TEXT,
    "calibration": TEXT,
}
CAMERA_IGNORED = frozenset({"zone_mask_dir", "valid_zonepaths", "enable_alpr"})
_LITERAL = re.compile(r"None|True|False|[-+]?[\d.]+(?:e[-+]?\d+)?|[\[(].*[\])]")
SECTIONS = frozenset(name.partition(".")[0] for name in (*USED, *IGNORED) if "." in name)


def decoded(value: Any) -> Any:
    """`value` as yacs in `run_live_mtmc.py` reads it: Python literals are evaluated; empty text means not set."""
    if isinstance(value, str) and _LITERAL.fullmatch(value):
        with contextlib.suppress(ValueError, SyntaxError):
            value = ast.literal_eval(value)
    return None if value == "" else value


def meant(name: str, known: Iterable[str]) -> str:
    """A suggestion for an unknown key, or else the list of known ones."""
    names = sorted(known)
    section, _, word = name.rpartition(".")
    same_word = [other for other in names if other.rpartition(".")[2] == word.upper()]
    nearby = [other for other in names if other.rpartition(".")[0] == section]
    close = difflib.get_close_matches(name.casefold(), [other.casefold() for other in names], n=1, cutoff=0.75)
    holding = [other for other in nearby if len(word) > 2 and word.casefold() in other.rpartition(".")[2].casefold()]
    likely = same_word or [other for other in names if other.casefold() in close] or holding
    if likely:
        return f"did you mean {likely[0]}?"
    return f"known are {', '.join(nearby)}" if nearby else f"known sections are {', '.join(sorted(SECTIONS))}"
