"""Asks the NVIDIA driver which GPUs it offers, and prints the answer as JSON.

It runs as a process of its own, because CUDA reads CUDA_VISIBLE_DEVICES when a process first uses it, and a worker
chooses its GPU only afterwards. Standard library only.
"""

from __future__ import annotations

import ctypes
import json
import uuid
from typing import Any

_LIBRARY = "libcuda.so.1"
_NAME_BYTES = 100


def main() -> None:
    """Prints an object with `library` (why the driver's library cannot be loaded), or `error` and `text` (of CUDA), or
    `cuda` (the newest version that the driver supports, 1000 × major + 10 × minor) and `gpus`: `[[uuid, name], …]`.
    """
    try:
        driver = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        answer: dict[str, Any] = {"library": str(error)}
    else:
        answer = offered(driver)
    print(json.dumps(answer))  # noqa: T201 (read by the process that started this one)


def offered(driver: Any) -> dict[str, Any]:
    """What the driver library offers to this process; as printed by `main`."""
    try:
        _call(driver, "cuInit", 0)
        version, count = ctypes.c_int(), ctypes.c_int()
        _call(driver, "cuDriverGetVersion", ctypes.byref(version))
        _call(driver, "cuDeviceGetCount", ctypes.byref(count))
        return {"cuda": version.value, "gpus": [_gpu(driver, number) for number in range(count.value)]}
    except _Refused as refused:
        return {"error": refused.code, "text": _text(driver, refused.code)}


class _Refused(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def _call(driver: Any, function: str, *arguments: Any) -> None:
    if code := getattr(driver, function)(*arguments):
        raise _Refused(code)


def _gpu(driver: Any, number: int) -> list[str]:
    device, name, identity = ctypes.c_int(), ctypes.create_string_buffer(_NAME_BYTES), (ctypes.c_ubyte * 16)()
    _call(driver, "cuDeviceGet", ctypes.byref(device), number)
    _call(driver, "cuDeviceGetName", name, _NAME_BYTES, device)
    # Version 2 is that of a part of a GPU (MIG); older drivers do not have it.
    get_uuid = "cuDeviceGetUuid_v2" if hasattr(driver, "cuDeviceGetUuid_v2") else "cuDeviceGetUuid"
    _call(driver, get_uuid, identity, device)
    return [f"GPU-{uuid.UUID(bytes=bytes(identity))}", name.value.decode(errors="replace")]


def _text(driver: Any, code: int) -> str:
    text = ctypes.c_char_p()
    if driver.cuGetErrorString(code, ctypes.byref(text)) or text.value is None:
        return f"error {code}"
    return text.value.decode(errors="replace")


if __name__ == "__main__":
    main()
