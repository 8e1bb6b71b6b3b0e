"""Opens a camera's source, whatever its kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from vision.video.address import SourceKind, kind_of
from vision.video.file_source import FileSource
from vision.video.live_source import LiveSource
from vision.video.options import SourceOptions
from vision.video.source import Source


def open_source(
    source: str,
    *,
    camera: str,
    site_time_ns: Callable[[], int],
    origin_ns: int = 0,
    loop: bool = False,
    fps: float | None = None,
    interval_s: float | None = None,
    known_length: str | None = None,
    options: SourceOptions | None = None,
    moved: str | None = None,
    decoder_threads: int = 1,
    secrets: Sequence[str] = (),
) -> Source:
    """Start decoding `source` in the background; returns immediately, whatever state the source is in.

    Args:
        source: file path, stream URL or local device.
        camera: name of the camera, for logs and errors.
        site_time_ns: returns the current site time in ns; used to stamp the pictures of live sources.
        origin_ns: site time of media time 0, ns (files only).
        loop: start the file over at its end.
        fps: see `VideoFile` (files only).
        interval_s: media time between two requests, seconds. Frames of a file in between are not converted; an address
            that serves one picture is asked as often.
        known_length: `Source.length` as found by a previous reader of the file (files only).
        options: timeouts and how to open the source.
        moved: that an earlier reader found the camera moved; see `PictureHealth` (streams and devices only).
        decoder_threads: threads of the decoder.
        secrets: parts of the source that appear in no log or error.

    Raises:
        ValueError: no kind of source can read `source`.
    """
    if kind_of(source) is SourceKind.FILE:
        return FileSource(
            Path(source),
            camera=camera,
            origin_ns=origin_ns,
            loop=loop,
            fps=fps,
            interval_s=interval_s,
            known_length=known_length,
            decoder_threads=decoder_threads,
            hwaccel=options.hwaccel if options is not None else "none",
            secrets=secrets,
        )
    return LiveSource(
        source,
        camera=camera,
        site_time_ns=site_time_ns,
        options=options,
        loop=loop,
        interval_s=interval_s or 0.1,
        moved=moved,
        decoder_threads=decoder_threads,
        secrets=secrets,
    )
