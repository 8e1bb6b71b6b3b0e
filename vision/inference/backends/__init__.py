"""Inference runtimes, one per module."""

import os

# ONNX Runtime 1.29 and later assigns the machine an id and sends telemetry unless this is set before it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
