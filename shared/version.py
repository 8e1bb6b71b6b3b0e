"""Which mtmc this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def mtmc_version() -> str:
    """The installed version; `0` in a checkout that is not installed."""
    try:
        return version("mtmc")
    except PackageNotFoundError:
        return "0"


def made_by(command: str) -> str:
    """What a file says of the command that wrote it."""
    return f"mtmc {mtmc_version()} {command}"
