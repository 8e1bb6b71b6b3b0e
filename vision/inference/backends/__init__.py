"""Inference runtimes, one per file."""

import os

# From 1.29 on, ONNX Runtime numbers the machine and reports to its makers unless it is told not to before it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
