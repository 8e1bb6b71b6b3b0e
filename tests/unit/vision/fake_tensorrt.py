"""Makes ONNX Runtime report that this machine has TensorRT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnxruntime

_TENSORRT = "TensorrtExecutionProvider"
Options = dict[str, str]


def session_class(note: Callable[[Options], object]) -> type[onnxruntime.InferenceSession]:
    """Sessions that run on the CPU but report TensorRT; `note` is called with the options of every such provider."""

    class Session(onnxruntime.InferenceSession):
        def __init__(self, path: Any, options: Any, *, providers: list[Any], **_: Any) -> None:
            super().__init__(path, options, providers=["CPUExecutionProvider"])
            with_options = [provider if isinstance(provider, tuple) else (provider, {}) for provider in providers]
            self.claimed = [name for name, _ in with_options]
            for name, asked in with_options:
                if name == _TENSORRT:
                    note(asked)

        def get_providers(self) -> list[str]:
            return self.claimed

        def get_provider_graph_assignment_info(self) -> list[Any]:
            return []  # as if it did not know

    return Session


def install(setattr_: Callable[[Any, str, Any], object], note: Callable[[Options], object]) -> None:
    """Replace ONNX Runtime's session class, with `setattr` or `monkeypatch.setattr`."""
    known = [_TENSORRT, *onnxruntime.get_available_providers()]
    setattr_(onnxruntime, "get_available_providers", lambda: known)
    setattr_(onnxruntime, "InferenceSession", session_class(note))
