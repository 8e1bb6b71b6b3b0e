"""A machine that has TensorRT, as far as ONNX Runtime can tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnxruntime

_TENSORRT = "TensorrtExecutionProvider"
Options = dict[str, str]


def session_class(note: Callable[[Options], object]) -> type[onnxruntime.InferenceSession]:
    """Sessions that run on the CPU and say otherwise; `note` gets the options of every TensorRT provider."""

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

    return Session


def install(setattr_: Callable[[Any, str, Any], object], note: Callable[[Options], object]) -> None:
    """Puts it in the place of ONNX Runtime's own, with `setattr` or what pytest has for that."""
    known = [_TENSORRT, *onnxruntime.get_available_providers()]
    setattr_(onnxruntime, "get_available_providers", lambda: known)
    setattr_(onnxruntime, "InferenceSession", session_class(note))
