"""Names of classes for models that contain none."""

from __future__ import annotations

# Classes in the order of COCO's annotations (Lin et al., 2014), for models of 80 classes that contain no names.
# fmt: off
COCO_NAMES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)
# fmt: on
# Category numbers of COCO that no object has; detectors that use these numbers have 91 outputs.
_UNUSED = frozenset({0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83})
_UNKNOWN = 1000


def _by_category() -> tuple[str, ...]:
    names = iter(COCO_NAMES)
    return tuple(f"class{number}" if number in _UNUSED else next(names) for number in range(91))


COCO_CATEGORIES = _by_category()
"""COCO's classes by category number: `COCO_CATEGORIES[1]` is person."""


def default_names(count: int) -> tuple[str, ...]:
    """Names of `count` classes of a model that names none: COCO's if their number is COCO's, else numbers."""
    for known in (COCO_NAMES, COCO_CATEGORIES):
        if count == len(known):
            return known
    return tuple(f"class{number}" for number in range(count))


def is_coco(names: tuple[str, ...]) -> bool:
    """Whether these are the names of COCO's classes or categories."""
    return names in (COCO_NAMES, COCO_CATEGORIES)


def unknown_names() -> tuple[str, ...]:
    """Names for a model that neither names its classes nor shows in its outputs how many they are."""
    return tuple(f"class{number}" for number in range(_UNKNOWN))
