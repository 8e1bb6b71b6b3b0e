"""Prepares what a machine with a GPU but without internet needs to run the check: `make gpu-check`.

    python -m benchmarks.gpu_check.prepare

Writes wheels for Python 3.12 on x86-64 Linux and clips of 1080p into `build/gpu-check`. The networks are made on that
machine, from a seed. Afterwards copy the checkout with `build/gpu-check` there, and run `benchmarks/gpu_check/run`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "build" / "gpu-check"
LIMIT_MIB = 64.0
"""For repository and bundle together."""
_PYTHON = "3.12"
_MACHINE = {
    "python_version": _PYTHON,
    "python_full_version": f"{_PYTHON}.3",
    "sys_platform": "linux",
    "platform_machine": "x86_64",
}
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux1_x86_64")
_THERE = frozenset({"numpy", "scipy", "opencv-python-headless", "msgpack", "onnxruntime-gpu", "onnxruntime"})
"""What the machine has, or is not needed: ONNX Runtime's CUDA provider is larger than everything else together."""
_ALSO_NEEDED = (
    "pytest",
    "pytest-timeout",
    "pluggy",
    "iniconfig",
    "packaging",
    "hypothesis",
    "sortedcontainers",
    "psutil",
)
"""For the tests and the measurement."""


def wanted(requirements: str, also: tuple[str, ...], base: frozenset[str]) -> list[str]:
    """What to fetch, as `name==version`: the packages of `base`, and `also`, without those that the machine has."""
    return [
        f"{one.name}{one.specifier}"
        for one in _parsed(requirements)
        if canonicalize_name(one.name) in (base | set(also)) - _THERE
        and (one.marker is None or one.marker.evaluate(_MACHINE))
    ]


def names_in(requirements: str) -> frozenset[str]:
    """The packages that a list of requirements names."""
    return frozenset(canonicalize_name(one.name) for one in _parsed(requirements))


def _parsed(requirements: str) -> list[Requirement]:
    lines = (line.strip() for line in requirements.splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]


def fetch_wheels(folder: Path) -> None:
    """Downloads the wheels into `folder`.

    Raises:
        SystemExit: one of them is not available.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    base = names_in((ROOT / "requirements/base.txt").read_text())
    lines = wanted((ROOT / "requirements/dev.txt").read_text(), _ALSO_NEEDED, base)
    platforms = [word for name in _PLATFORMS for word in ("--platform", name)]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", _PYTHON, "--implementation", "cp", *platforms]
    done = subprocess.run([*command, "--dest", str(folder), *lines], check=False)
    if done.returncode:
        raise SystemExit("the wheels cannot be fetched; see above")


def size_mib(paths: list[Path]) -> float:
    """Of files, and of everything in folders."""
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()]
    return sum(file.stat().st_size for file in files) / 2**20


def main() -> None:
    """Writes the bundle, and says what to do with it."""
    from benchmarks.gpu_check.clips import write_clips

    print("fetching wheels")
    fetch_wheels(BUNDLE / "wheels")
    print("encoding clips")
    write_clips(BUNDLE / "clips", clips=2, seconds=12)
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    total = size_mib([ROOT / line for line in listed.splitlines()]) + size_mib([BUNDLE])
    print(f"{BUNDLE.relative_to(ROOT)}: {size_mib([BUNDLE]):.1f} MiB, {total:.1f} MiB with the repository")
    if total > LIMIT_MIB:
        raise SystemExit(f"that is more than the {LIMIT_MIB:.0f} MiB that can be taken along")
    print("copy the checkout and this folder to the machine with the GPU, and run there: benchmarks/gpu_check/run")


if __name__ == "__main__":
    main()
