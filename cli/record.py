"""`mtmc record`: records a running site."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from cli.console import table_console
from cli.options import MaybeSiteFile, RecordingFolder, RedisUrl, SiteName, StateOption

if TYPE_CHECKING:
    from recording.recorder import Recorded, Recorder

_PICTURES_TIMEOUT_S = 5.0


def record(
    out: RecordingFolder,
    site_file: MaybeSiteFile = None,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, max=1e7, help="Stop after this much site time.")] = None,
    video: Annotated[
        bool, typer.Option("--video", help="Also write DIR/video/CAMERA.mp4, annotated as on the page.")
    ] = False,
    from_start: Annotated[
        bool,
        typer.Option("--from-start", help="Start earlier: at the oldest tick that Redis still holds for all cameras."),
    ] = False,
) -> None:
    """Record the tracks and global ids of a running site, until Ctrl-C or its end.

    Records every entry of tracks:*, assignments and events, starting at the
    tick after the newest one that any camera has handled. Entries that Redis
    trimmed before they were read are reported. No credentials are written.
    Format: docs/recordings.md.

    Exit code 1: nothing was recorded.

    Examples:
      mtmc record site.yaml -o monday
      mtmc record --site campus --seconds 60 --video -o minute
    """
    from launcher.site_access import SiteChoice, open_site
    from recording.following import follow
    from recording.recorder import Recorder
    from recording.video import VideoRecorder
    from shared.logs import logs_of_command
    from shared.service import stop_on_signals

    console, stop = table_console(), stop_on_signals()
    with contextlib.ExitStack() as stack:
        stack.enter_context(logs_of_command("record"))
        opened = stack.enter_context(open_site(SiteChoice(site_file, site, redis_url, state), os.environ))
        recorder = Recorder(opened.client, opened.published, out, from_start=from_start)
        stack.callback(recorder.close)
        fps = opened.published.config.clock.target_fps
        videos = None
        if video:
            frames = stack.enter_context(opened.address.pictures(opened.client, timeout_s=_PICTURES_TIMEOUT_S))
            videos = VideoRecorder(
                opened.client,
                frames,
                opened.keys,
                recorder.cameras,
                out / "video",
                fps,
                recorder.first_tick,
            )
            stack.callback(videos.close)
        with _status_line(recorder, fps, console) as update:
            done = follow(recorder, stop, seconds=seconds, fps=fps, after_step=update)
        if videos is not None:
            videos.close()
            if videos.error is not None:
                raise videos.error
    _print_summary(done, out, fps, console)
    raise typer.Exit(0 if done.entries else 1)


@contextlib.contextmanager
def _status_line(recorder: Recorder, fps: float, console: Console) -> Iterator[Callable[[], None]]:
    """Shows a status line on a terminal, nothing elsewhere; yields the function that updates it."""
    from rich.live import Live
    from rich.text import Text

    if not console.is_terminal:
        yield lambda: None
        return
    with Live(Text("waiting for the first tick …"), console=console, refresh_per_second=4, transient=True) as live:

        def update() -> None:
            ticks = recorder.newest_tick - recorder.first_tick + 1
            live.update(
                Text(
                    f"recording {len(recorder.cameras)} cameras: {max(0, ticks) / fps:.1f} s, {recorder.boxes} boxes, "
                    f"{recorder.assignments} assignments, {recorder.size_bytes / 1e6:.1f} MB; Ctrl-C stops"
                )
            )

        yield update


def _print_summary(done: Recorded, folder: Path, fps: float, console: Console) -> None:
    ticks = max(0, done.last_tick - done.first_tick + 1)
    console.print(
        f"{folder}: {ticks / fps:.1f} s (ticks {done.first_tick} to {done.last_tick}), {done.boxes} boxes, "
        f"{done.assignments} assignments; {done.why}",
        markup=False,
        soft_wrap=True,
    )
    notes = [
        f"camera {gap.camera}: entries are missing between tick {gap.after_tick} and tick {gap.next_tick}"
        for gap in done.missing
    ]
    notes += [f"camera {camera} was added during the recording and is not in it" for camera in done.not_recorded]
    if done.undecodable:
        notes.append(f"{done.undecodable} entries could not be decoded and were left out")
    for note in notes:
        console.print(f"note: {note}", style="yellow", markup=False, soft_wrap=True)
