"""Machines with NVIDIA GPUs that do not exist: their files, their drivers, and ONNX Runtimes that claim to use them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnxruntime
import pytest

from vision.inference import gpus
from vision.inference.gpus import Gpu, Gpus

PROVIDERS = {"tensorrt": "TensorrtExecutionProvider", "cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}
A, B, C = (Gpu(f"GPU-{letter * 8}-0000-0000-0000-000000000000", f"NVIDIA {letter}") for letter in "abc")
WORKING = Gpus(present=True, usable=(A, B), cuda=(99, 0))
NONE = Gpus()


def machine(root: Path, *, node: bool = False, driver: bool = False, pci: bool = False, docker: bool = False) -> Path:
    """A root folder as the kernel shows it on a machine or in a container; returns it."""
    files = {
        "dev/nvidia0": node,
        "dev/nvidiactl": node,
        "proc/driver/nvidia/gpus/0000:19:00.0/information": driver,
        ".dockerenv": docker,
    }
    for name, exists in files.items():
        if exists:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()
    # An NVIDIA sound device and another maker's graphics are no NVIDIA GPU.
    for number, (vendor, kind) in enumerate([("0x8086", "0x030000"), ("0x10de", "0x040300"), ("0x10de", "0x030200")]):
        if number < 2 or pci:
            folder = root / f"sys/bus/pci/devices/0000:0{number}:00.0"
            folder.mkdir(parents=True)
            (folder / "vendor").write_text(f"{vendor}\n")
            (folder / "class").write_text(f"{kind}\n")
    return root


def answering(**answer: Any) -> Callable[[Mapping[str, str]], Mapping[str, Any]]:
    """A driver that answers so."""
    return lambda _: answer


def pretend(monkeypatch: pytest.MonkeyPatch, found: Gpus) -> None:
    """Makes this machine have these GPUs."""
    monkeypatch.setattr(gpus, "look", lambda *_, **__: found)


def runtime(
    monkeypatch: pytest.MonkeyPatch,
    *,
    fails: Iterable[str] = (),
    drops: Iterable[str] = (),
    leaves_to_cpu: Iterable[str] = (),
) -> Counter[str]:
    """Replaces ONNX Runtime's sessions by some that run on the CPU, but claim to use the device that is asked for.

    Devices in `fails` raise, those in `drops` are dropped without an error, and of those in `leaves_to_cpu` every node
    runs on the CPU. Returns how often each device was tried.
    """
    tried = Counter[str]()
    devices = {name: device for device, name in PROVIDERS.items()}

    class Session(onnxruntime.InferenceSession):
        def __init__(self, path: Any, options: Any, *, providers: list[Any], **_: Any) -> None:
            names = [provider[0] if isinstance(provider, tuple) else provider for provider in providers]
            self.device = devices[names[0]]
            tried[self.device] += 1
            if self.device in fails:
                raise RuntimeError(f"no {self.device} today")
            super().__init__(path, options, providers=["CPUExecutionProvider"])
            self.claimed = names[1:] if self.device in drops else names

        def get_providers(self) -> list[str]:
            return self.claimed

        def get_provider_graph_assignment_info(self) -> list[Any]:
            name = PROVIDERS["cpu" if self.device in leaves_to_cpu else self.device]
            parts = super().get_provider_graph_assignment_info()
            return [SimpleNamespace(ep_name=name, get_nodes=part.get_nodes) for part in parts]

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(PROVIDERS.values()))
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    return tried
