"""Folders of the training's output."""

from __future__ import annotations

from pathlib import Path

_ROOT = Path(__file__).parents[2]
WORK = _ROOT / "build" / "training"
DETECTOR = _ROOT / "models" / "demo_detector.onnx"
EMBEDDER = _ROOT / "models" / "demo_embedder.onnx"
