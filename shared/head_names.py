"""Names of the heads of detectors. In a module of its own, because the command line needs them at every start."""

from __future__ import annotations

from typing import Literal

HeadName = Literal[
    "yolov8",
    "yolov8-seg",
    "yolov8-pose",
    "yolov8-obb",
    "end2end",
    "end2end-seg",
    "end2end-pose",
    "end2end-obb",
    "yolov5",
    "yolov5-seg",
    "yolov6",
    "yolox",
    "yolox-decoded",
    "yolov7-nms",
    "efficientnms",
    "rtdetr-ultralytics",
    "rtdetr-end2end",
    "rtdetr",
    "rfdetr",
    "yolonas",
    "yolonas-flat",
    "yolonas-batch",
    "tf-ssd",
    "torchvision",
]
"""The heads of detectors; see `vision.inference.detector_heads.table`."""
