"""`mtmc record`: a running site, written down."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.text import Text

from launcher.address import RedisAddress
from launcher.site_access import SiteChoice, open_site
from recording.following import follow
from recording.recorder import Recorded, Recorder
from recording.video import VideoRecorder
from shared.logs import logs_of_command
from shared.redis_connection import Client, connect
from shared.service import stop_on_signals


@dataclass(frozen=True)
class RecordOptions:
    """What the command line says."""

    folder: Path
    seconds: float | None = None
    video: bool = False
    from_start: bool = False


def record(options: RecordOptions, choice: SiteChoice, environment: Mapping[str, str], console: Console) -> int:
    """Records a site until a signal, its end, or so many seconds; the exit code (1: nothing came).

    Raises:
        MtmcError: the site cannot be read, or the folder cannot be used.
    """
    stop = stop_on_signals()
    with contextlib.ExitStack() as stack:
        stack.enter_context(logs_of_command("record"))
        site = stack.enter_context(open_site(choice, environment))
        recorder = Recorder(site.client, site.published, options.folder, from_start=options.from_start)
        stack.callback(recorder.close)
        fps = site.published.config.clock.target_fps
        video = None
        if options.video:
            frames = _frames_client(site.client, site.address, stack)
            folder = options.folder / "video"
            video = VideoRecorder(site.client, frames, site.keys, recorder.cameras, folder, fps, recorder.first_tick)
            stack.callback(video.close)
        with _shown(recorder, fps, console) as show:
            done = follow(recorder, stop, seconds=options.seconds, fps=fps, told=lambda _: show())
        if video is not None:
            video.close()
            if video.error is not None:
                raise video.error
    _tell(done, options.folder, fps, console)
    return 0 if done.entries else 1


def _frames_client(client: Client, address: RedisAddress, stack: contextlib.ExitStack) -> Client:
    if address.frames_url is None:
        return client
    return stack.enter_context(contextlib.closing(connect(address.frames_url, address.password)))


@contextlib.contextmanager
def _shown(recorder: Recorder, fps: float, console: Console) -> Iterator[Callable[[], None]]:
    if not console.is_terminal:
        yield lambda: None
        return
    with Live(Text("waiting for the first tick …"), console=console, refresh_per_second=4, transient=True) as live:

        def show() -> None:
            ticks = recorder.newest_tick - recorder.first_tick + 1
            live.update(
                Text(
                    f"recording {len(recorder.cameras)} cameras: {max(0, ticks) / fps:.1f} s, {recorder.boxes} boxes, "
                    f"{recorder.assignments} assignments, {recorder.size_bytes / 1e6:.1f} MB; Ctrl-C ends it"
                )
            )

        yield show


def _tell(done: Recorded, folder: Path, fps: float, console: Console) -> None:
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
    notes += [f"camera {camera} was added meanwhile and is not recorded" for camera in done.not_recorded]
    if done.undecodable:
        notes.append(f"{done.undecodable} entries could not be decoded and were left out")
    for note in notes:
        console.print(f"note: {note}", style="yellow", markup=False, soft_wrap=True)
