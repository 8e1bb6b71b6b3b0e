"""`mtmc cameras test`: a worker tries a stream."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from cli.console import print_note, table_console
from launcher.site_access import SiteChoice, open_site
from shared.camera_source import stream_problem
from shared.config_file import camera_from
from shared.errors import MtmcError
from shared.questions import ask
from shared.source_trials import LONGEST_S, TRY_SOURCE, TrialAnswer, TrialRequest, worker_with
from vision.video.address import display_name

_TAKE_S = 4.0
_SHOWN = ("warning", "kind", "codec", "width", "height", "fps", "first_picture_s", "worker", "host")


def try_source(
    choice: SiteChoice, environment: Mapping[str, str], written: dict[str, Any], picture: Path | None, *, as_json: bool
) -> int:
    """Prints what became of the trial of a camera with the settings `written`, and saves the picture; the exit code.

    Raises:
        MtmcError: the site cannot be reached, nobody tries it, or the settings are invalid.
    """
    camera = camera_from(written, "cameras test", Path.cwd(), environment, check_files=False)
    if problem := stream_problem(camera.source):
        raise MtmcError(f"source: {problem}; `mtmc doctor` opens files and devices")
    request = TrialRequest(camera.source, camera.transport)
    with open_site(choice, environment) as site, site.address.pictures(site.client) as frames:
        workers = site.read_state().workers
        if not workers:
            raise MtmcError("no worker is running; start the site with `mtmc up`, or look at `mtmc status`")
        worker = worker_with(workers, camera.labels) if camera.labels else ""
        found = ask(frames, site.keys, TRY_SOURCE, request.encode(), worker=worker, take_s=_TAKE_S, answer_s=LONGEST_S)
    answer = TrialAnswer.decode(found)
    if picture is not None and answer.jpeg:
        picture.write_bytes(answer.jpeg)
    if as_json:
        shown = {name: getattr(answer, name) or None for name in _SHOWN}
        content = {"works": not answer.reason, "reason": answer.reason or None, **shown}
        table_console().out(json.dumps(content), highlight=False)
    elif answer.reason:
        print_note(f"worker {answer.worker}: {answer.reason}")
    else:
        typer.echo(f"{camera.shown(display_name(camera.source))} works: {_described(answer)}")
        if answer.warning:
            print_note(answer.warning)
    return 1 if answer.reason else 0


def _described(answer: TrialAnswer) -> str:
    parts = [answer.codec] if answer.codec else []
    parts.append(f"{answer.width}×{answer.height}")
    if answer.fps is not None:
        parts.append(f"{answer.fps:.3g} pictures per second")
    parts += [f"first picture after {answer.first_picture_s:g} s"] if answer.first_picture_s is not None else []
    return f"{', '.join(parts)} (worker {answer.worker} on {answer.host})"
