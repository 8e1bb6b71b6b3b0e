"""The version of mtmc."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def mtmc_version() -> str:
    """The installed version; `0` in a checkout that is not installed."""
    try:
        return version("mtmc")
    except PackageNotFoundError:
        return "0"


def made_by(command: str) -> str:
    """The name and version that a written file carries, such as `mtmc 1.0 record`."""
    return f"mtmc {mtmc_version()} {command}"
