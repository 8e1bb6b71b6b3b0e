"""Which sources a camera can have: the forms of a path, the URL of a stream, and a device."""

from __future__ import annotations

from shared.stream_url import StreamUrl

STREAM_SCHEMES = ("rtsp", "rtsps", "http", "https")


def address_problem(source: str) -> str | None:
    """Why a source of this form is not supported; None if the form is valid."""
    if not source.strip():
        return "the source is empty; use the path of a video file, the URL of a stream, or a device"
    scheme, separator, _ = source.partition("://")
    if separator and scheme.lower() not in STREAM_SCHEMES:
        # Anything but letters and digits may be part of a password.
        shown = f"{scheme}://" if scheme.isalnum() else "this kind of address"
        known = ", ".join(f"{scheme}://" for scheme in STREAM_SCHEMES)
        return f"{shown} is not supported; use the path of a video file, {known}, /dev/videoN or device:N"
    if not separator and source.lower().startswith(tuple(f"{scheme}:" for scheme in STREAM_SCHEMES)):
        return "the URL of a stream needs two slashes after the colon, as in rtsp://host/path"
    if separator:
        try:
            StreamUrl.parse(source)
        except ValueError as error:
            return str(error)
    return None


def stream_problem(source: str) -> str | None:
    """Why `source` is not the URL of a stream that is supported; None if it is. Contains nothing of a password."""
    scheme, separator, _ = source.partition("://")
    if not separator or scheme.lower() not in STREAM_SCHEMES:
        known = ", ".join(f"{scheme}://" for scheme in STREAM_SCHEMES)
        return f"it is not the URL of a stream, which begins with one of {known}; add a file with `mtmc cameras add`"
    return address_problem(source)


def is_file_source(source: str) -> bool:
    """Whether `source` is the path of a video file, not a URL or a device."""
    return not ("://" in source or source.startswith(("/dev/", "device:")) or source.isdigit())
