"""Opens whatever a camera's source names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vision.video.address import SourceKind, kind_of
from vision.video.file_source import FileSource
from vision.video.live_source import LiveSource
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
    open_timeout_s: float = 5.0,
    read_timeout_s: float = 5.0,
    decoder_threads: int = 1,
) -> Source:
    """Start decoding `source`; returns at once, whatever state the source is in.

    `site_time_ns` stamps the pictures of live sources. `origin_ns` (site time of media time 0), `loop`, `fps`
    (overrides the file's own), `interval_s` (media time between two requests, which spares converting pictures that no
    request will want) and `known_length` are for files only; the timeouts are for streams only.
    Raises ValueError if nothing here can read such a source.
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
        )
    return LiveSource(
        source,
        camera=camera,
        site_time_ns=site_time_ns,
        open_timeout_s=open_timeout_s,
        read_timeout_s=read_timeout_s,
        decoder_threads=decoder_threads,
    )
