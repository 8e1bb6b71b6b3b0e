"""All detector heads."""

from __future__ import annotations

from vision.inference.detector_heads.chosen_boxes import (
    CountedHead,
    EndToEndHead,
    EndToEndOrientedHead,
    EndToEndPoseHead,
    EndToEndSegmentationHead,
    ListedHead,
)
from vision.inference.detector_heads.detr import RfDetrHead, RtDetrHead, SortedRtDetrHead, UltralyticsRtDetrHead
from vision.inference.detector_heads.head import Head
from vision.inference.detector_heads.ssd import TensorFlowHead, TorchvisionHead
from vision.inference.detector_heads.ultralytics import (
    AnchorFreeObjectnessHead,
    ObjectnessHead,
    ObjectnessSegmentationHead,
    OrientedHead,
    PoseHead,
    SegmentationHead,
    UltralyticsHead,
)
from vision.inference.detector_heads.yolo_nas import CountedYoloNasHead, ListedYoloNasHead, YoloNasHead
from vision.inference.detector_heads.yolox import DecodedYoloxHead, YoloxHead

HEADS: tuple[type[Head], ...] = (
    UltralyticsHead,
    SegmentationHead,
    PoseHead,
    OrientedHead,
    EndToEndHead,
    EndToEndSegmentationHead,
    EndToEndPoseHead,
    EndToEndOrientedHead,
    ObjectnessHead,
    ObjectnessSegmentationHead,
    AnchorFreeObjectnessHead,
    YoloxHead,
    DecodedYoloxHead,
    ListedHead,
    CountedHead,
    UltralyticsRtDetrHead,
    SortedRtDetrHead,
    RtDetrHead,
    RfDetrHead,
    YoloNasHead,
    ListedYoloNasHead,
    CountedYoloNasHead,
    TensorFlowHead,
    TorchvisionHead,
)
