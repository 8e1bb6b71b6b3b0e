"""Whether this machine has an NVIDIA GPU, and why it may not be usable, with files and drivers that do not exist."""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.vision.fake_gpus import A, B, answering, machine
from vision.inference import driver_probe, gpus
from vision.inference.gpus import Gpus, look

BOTH = answering(cuda=12040, gpus=[[A.uuid, A.name], [B.uuid, B.name]])


def unasked(_: Any) -> Any:
    raise AssertionError("nobody asks a driver")


def test_a_machine_without_a_gpu_has_nothing_to_tell_and_asks_no_driver(tmp_path: Path) -> None:
    assert look({}, machine(tmp_path), unasked) == Gpus()


def test_gpus_and_the_cuda_version_are_those_of_the_driver(tmp_path: Path) -> None:
    found = look({}, machine(tmp_path, node=True), BOTH)
    assert found == Gpus(present=True, usable=(A, B), cuda=(12, 4))


@pytest.mark.parametrize("visible", ["", "-1", " "])
def test_hidden_gpus_are_not_present(tmp_path: Path, visible: str) -> None:
    root = machine(tmp_path, node=True, driver=True, pci=True)
    assert look({"CUDA_VISIBLE_DEVICES": visible}, root, unasked) == Gpus(hidden=True)


@pytest.mark.parametrize(
    ("files", "reason", "advice"),
    [
        ({"pci": True}, "its driver is not loaded", "install the NVIDIA driver"),
        ({"pci": True, "driver": True}, "there is no device /dev/nvidia0", "nvidia-modprobe"),
        ({"pci": True, "docker": True}, "this container has no access to it", "--gpus all"),
        ({"driver": True, "docker": True}, "this container has no access to it", "docker-compose.gpu.yml"),
    ],
)
def test_a_gpu_without_a_device_is_present_and_says_what_to_do(
    tmp_path: Path, files: dict[str, bool], reason: str, advice: str
) -> None:
    found = look({}, machine(tmp_path, **files), unasked)
    assert (found.present, found.usable) == (True, ())
    assert found.trouble is not None
    assert reason in found.trouble.reason
    assert advice in found.trouble.advice


@pytest.mark.parametrize(
    ("answer", "docker", "visible", "reason", "advice"),
    [
        ({"library": "libcuda.so.1: cannot open"}, False, None, r"cannot be loaded \(libcuda\.so\.1", "libcuda1"),
        ({"library": "libcuda.so.1: cannot open"}, True, None, "not the library of its driver", "include compute"),
        ({"error": 803, "text": "driver mismatch"}, False, None, r"no GPU \(driver mismatch\)", "restart the host"),
        ({"error": 802, "text": "not ready"}, False, None, "not ready", "nvidia-fabricmanager"),
        ({"error": 999, "text": "unknown error"}, False, None, "unknown error", "modprobe nvidia_uvm"),
        ({"error": 100, "text": "no device"}, False, "7", "CUDA_VISIBLE_DEVICES=7 .*names no GPU", "nvidia-smi -L"),
        ({"error": 100, "text": "no device"}, False, None, r"no GPU \(no device\)", "dmesg"),
        ({"cuda": 12040, "gpus": []}, False, None, r"no GPU \(it has none\)", "dmesg"),
        ({"hangs": 60.0}, False, None, "does not answer within 60 s", "dmesg"),
        ({"broken": "it ended with code -11"}, False, None, "ended with code -11", "dmesg"),
    ],
)
def test_a_driver_that_offers_nothing_says_why(
    tmp_path: Path, answer: dict[str, Any], docker: bool, visible: str | None, reason: str, advice: str
) -> None:
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    found = look(environ, machine(tmp_path, node=True, docker=docker), answering(**answer))
    assert found.trouble is not None
    assert re.search(reason, found.trouble.reason)
    assert advice in found.trouble.advice


FAKE_DRIVER = r"""
#include <stdlib.h>
#include <string.h>
int cuInit(unsigned flags) { return getenv("FAKE_ERROR") ? atoi(getenv("FAKE_ERROR")) : 0; }
int cuDriverGetVersion(int *version) { *version = 13000; return 0; }
int cuDeviceGetCount(int *count) { *count = getenv("CUDA_VISIBLE_DEVICES") ? 1 : 2; return 0; }
int cuDeviceGet(int *device, int number) { *device = 10 + number; return 0; }
int cuDeviceGetName(char *name, int length, int device) {
    strncpy(name, device == 10 ? "Ten" : "Eleven", length);
    return 0;
}
int cuDeviceGetUuid_v2(unsigned char *uuid, int device) { memset(uuid, device, 16); return 0; }
int cuGetErrorString(int error, const char **text) { *text = "it is broken"; return 0; }
"""


@pytest.fixture
def fake_driver(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that finds a library with the interface of the driver."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    (tmp_path / "driver.c").write_text(FAKE_DRIVER)
    library = tmp_path / "libcuda.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, tmp_path / "driver.c"], check=True)
    return {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}


def test_the_driver_is_asked_in_a_process_of_its_own(fake_driver: dict[str, str]) -> None:
    ten, eleven = f"GPU-{'0a' * 4}-0a0a-0a0a-0a0a-{'0a' * 6}", f"GPU-{'0b' * 4}-0b0b-0b0b-0b0b-{'0b' * 6}"
    assert gpus.ask_driver(fake_driver) == {"cuda": 13000, "gpus": [[ten, "Ten"], [eleven, "Eleven"]]}
    assert gpus.ask_driver({**fake_driver, "CUDA_VISIBLE_DEVICES": "0"})["gpus"] == [[ten, "Ten"]]
    assert gpus.ask_driver({**fake_driver, "FAKE_ERROR": "999"}) == {"error": 999, "text": "it is broken"}


def test_a_driver_without_a_library_is_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        driver_probe.main()
        assert "libcuda.so.1" in json.loads(capsys.readouterr().out)["library"]
    else:
        pytest.skip("this machine has the driver")


def test_a_gpu_of_this_machine_can_be_chosen_by_its_uuid() -> None:
    """Runs only where there is a GPU."""
    found = look()
    if not found.usable:
        pytest.skip(f"no usable NVIDIA GPU: {found}")
    last = found.usable[-1]
    assert look({**os.environ, "CUDA_VISIBLE_DEVICES": last.uuid}).usable == (last,)
    assert found.cuda is not None
    assert found.cuda >= (11, 0)
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("PyTorch cannot use it")
    script = "import torch; print(torch.cuda.device_count(), torch.cuda.get_device_name(0), sep='|')"
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": last.uuid}
    seen = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == f"1|{last.name}"
