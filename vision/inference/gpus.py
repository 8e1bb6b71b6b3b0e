"""The NVIDIA GPUs of this machine: whether there is one, which of them this process may use, and why it may use none.

A GPU is present if the kernel shows it: a device node `/dev/nvidia*`, a folder of the driver in `/proc/driver/nvidia`,
or a display controller of NVIDIA on the PCI bus. Containers share the last two with their host, so a container without
access to the host's GPU notices. CUDA_VISIBLE_DEVICES="" hides every GPU on purpose; then none is present.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PROBE = Path(__file__).with_name("driver_probe.py")
_PROBE_LIMIT_S = 60.0
"""With several GPUs and no persistence daemon, CUDA takes some seconds to start."""
_NVIDIA_VENDOR, _DISPLAY_CLASS = "0x10de", "0x03"
"""On the PCI bus."""
_HIDDEN = ("", "-1", "NoDevFiles")
"""First entries of CUDA_VISIBLE_DEVICES that hide every GPU."""
_NO_DEVICE, _NOT_READY, _MISMATCH, _UNKNOWN = 100, 802, 803, 999
"""Error codes of the CUDA driver."""


@dataclass(frozen=True)
class Gpu:
    """A GPU, or a part of one (MIG), that this process may use."""

    uuid: str
    """`GPU-…`, unique in the world and the same in every container; CUDA_VISIBLE_DEVICES accepts it."""
    name: str


@dataclass(frozen=True)
class GpuTrouble:
    """Why a GPU that is present is not used."""

    reason: str
    advice: str
    """What to do, without a full stop."""


@dataclass(frozen=True)
class Gpus:
    """What this process finds."""

    present: bool = False
    usable: tuple[Gpu, ...] = ()
    """In CUDA's order."""
    cuda: tuple[int, int] | None = None
    """The newest CUDA that the driver supports, major and minor; None: not known."""
    trouble: GpuTrouble | None = None
    """Why none of those that are present can be used."""
    hidden: bool = False
    """Whether CUDA_VISIBLE_DEVICES hides them on purpose."""


def ask_driver(environ: Mapping[str, str]) -> Mapping[str, Any]:
    """What `driver_probe` prints; `hangs` or `broken` if it does not answer."""
    command = [sys.executable, "-I", str(_PROBE)]
    try:
        done = subprocess.run(  # noqa: S603
            command, env=dict(environ), capture_output=True, text=True, timeout=_PROBE_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return {"hangs": _PROBE_LIMIT_S}
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        return {"broken": f"it ended with code {done.returncode}"}
    return answer if isinstance(answer, dict) else {"broken": "it answered nonsense"}


def look(
    environ: Mapping[str, str] = os.environ,
    root: Path = Path("/"),
    ask: Callable[[Mapping[str, str]], Mapping[str, Any]] = ask_driver,
) -> Gpus:
    """The GPUs of this machine. Starts a process that asks the driver if one is present, else only looks for files.

    `root`: the folder with `dev`, `proc` and `sys`.
    """
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.split(",")[0].strip() in _HIDDEN:
        return Gpus(hidden=True)
    has_node = any((root / "dev").glob("nvidia[0-9]*"))
    has_driver = any((root / "proc/driver/nvidia/gpus").glob("*"))
    if not has_node and not has_driver and not _on_pci_bus(root):
        return Gpus()
    in_container = is_container(environ, root)
    if not has_node:
        return Gpus(present=True, trouble=_without_node(has_driver=has_driver, in_container=in_container))
    answer = ask(environ)
    gpus = tuple(Gpu(str(uuid), str(name)) for uuid, name in answer.get("gpus", ()))
    if gpus:
        version = int(answer.get("cuda", 0))
        return Gpus(present=True, usable=gpus, cuda=(version // 1000, version % 1000 // 10))
    return Gpus(present=True, trouble=_refused(answer, visible, in_container=in_container))


def is_container(environ: Mapping[str, str] = os.environ, root: Path = Path("/")) -> bool:
    """Whether this process runs in a container of Docker, Podman or Kubernetes."""
    marks = ("KUBERNETES_SERVICE_HOST", "container")
    return (root / ".dockerenv").exists() or (root / "run/.containerenv").exists() or any(map(environ.get, marks))


def _on_pci_bus(root: Path) -> bool:
    for vendor in (root / "sys/bus/pci/devices").glob("*/vendor"):
        try:
            is_nvidia = vendor.read_text().strip() == _NVIDIA_VENDOR
            if is_nvidia and vendor.with_name("class").read_text().startswith(_DISPLAY_CLASS):
                return True
        except OSError:
            continue
    return False


_WITH_GPU = (
    "install the NVIDIA Container Toolkit on the host, and start the container with `--gpus all`, with "
    "deploy/docker-compose.gpu.yml, or in Kubernetes with nvidia.com/gpu: 1"
)


def _without_node(*, has_driver: bool, in_container: bool) -> GpuTrouble:
    if in_container:
        return GpuTrouble("the host has an NVIDIA GPU, but this container has no access to it", _WITH_GPU)
    if has_driver:
        reason = "the NVIDIA driver is loaded, but there is no device /dev/nvidia0"
        return GpuTrouble(reason, "run `sudo nvidia-modprobe -u -c=0`")
    reason = "there is an NVIDIA GPU, but its driver is not loaded"
    return GpuTrouble(reason, "install the NVIDIA driver (Ubuntu: `sudo ubuntu-drivers install`), and restart the host")


def _refused(answer: Mapping[str, Any], visible: str | None, *, in_container: bool) -> GpuTrouble:
    """Why the driver offers no GPU."""
    code, text = answer.get("error"), answer.get("text", "")
    if "library" in answer:
        if in_container:
            reason = f"this container has an NVIDIA GPU, but not the library of its driver ({answer['library']})"
            return GpuTrouble(reason, f"{_WITH_GPU}; NVIDIA_DRIVER_CAPABILITIES must include compute")
        reason = f"the library of the NVIDIA driver cannot be loaded ({answer['library']})"
        return GpuTrouble(reason, "install the driver's CUDA library (Debian: `apt-get install libcuda1`)")
    if visible is not None and (code == _NO_DEVICE or "gpus" in answer):
        reason = f"CUDA_VISIBLE_DEVICES={visible} (or worker.gpus) names no GPU of this machine"
        return GpuTrouble(reason, "name one that `nvidia-smi -L` shows")
    advice = "look for the fault with `nvidia-smi` and `sudo dmesg | grep -i nvrm`, and restart the host"
    if code == _MISMATCH:
        advice = "restart the host: its driver was updated, and the old one is still loaded"
    elif code == _NOT_READY:
        advice = "start the service nvidia-fabricmanager on the host"
    elif code == _UNKNOWN:
        advice = "run `sudo modprobe nvidia_uvm` on the host; if that does not help, restart it"
    if "hangs" in answer:
        text = f"it does not answer within {answer['hangs']:.0f} s"
    return GpuTrouble(f"the NVIDIA driver offers no GPU ({text or answer.get('broken') or 'it has none'})", advice)
