"""`mtmc explain`: why an identity has the tracks that it has."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from cli import completion
from cli.console import empty_table, print_note, table_console
from cli.options import JsonOption, RedisUrl, SiteName, StateOption, site_and_words
from shared.lenient_values import whole
from shared.terminal_tables import print_table

if TYPE_CHECKING:
    from shared.site_state.explanation import Change, Explanation, Reason

_LEGEND = (
    "The score is the natural logarithm of how much likelier one object is than two: 0 is even, 3 is 20 times, and\n"
    "below 0 speaks against it. It is the sum of the columns from appearance to prior. The prior is what was expected\n"
    "before any comparison, from overlapping views, travel times and routes. In the row of a new id, the score is\n"
    "that of the runner-up, which was too low, or too close to that of another one. Without a score, there was\n"
    "nothing to compare with. The margin is the lead over the runner-up."
)
_TEXTS = ("from", "to", "at", "camera", "", "change")
_LEGEND_REFERENCE = "In association.mode 'reference' a score is a similarity of appearance from -1 to 1."


def explain(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[SITE.yaml] GID",
            help="Site file (omit with --site), then the global id.",
            show_default=False,
            autocompletion=completion.site_file_or_identities,
        ),
    ],
    as_json: JsonOption = False,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
) -> None:
    """Show why an identity has the tracks that it has.

    For each track, and for each merge and split: what spoke for the
    decision, term by term, which identity came second, and by how much.

    The fields of --json are stable: gid, asked, class_name, record (the
    hash identity:GID), tracks (camera, track_id, first_ns, last_ns, ended,
    reason, moved_to, merged_from: it joined that id, which was merged into
    this one later) and changes (time_ns, kind, gid, other_gid, camera,
    track_id, reason, by and command: who asked for it, if an operator did);
    reason: score, terms, runner_up (0: a new identity) and margin. null
    means unknown or not applicable.

    Exit code 1: there is no such identity.

    Examples:
      mtmc explain site.yaml 7
      mtmc explain --site campus 7 --json
      mtmc identities explain site.yaml 7    (the same command)
    """
    import json
    from dataclasses import asdict

    from launcher.site_access import SiteChoice, open_site
    from shared.site_state.explanation import read_explanation

    site_file, rest = site_and_words(words, site, "mtmc explain site.yaml GID")
    if len(rest) != 1 or not rest[0].isdigit():
        raise typer.BadParameter("give one global id, a whole number")
    gid = int(rest[0])
    with open_site(SiteChoice(site_file, site, redis_url, state), os.environ) as opened:
        found = read_explanation(opened.client, opened.keys, gid)
        retention = opened.published.config.association.retention_seconds
    if found is None:
        print_note(
            f"there is no identity {gid}: it was never given, or nobody has seen it for {retention:g} s "
            "(association.retention_seconds)"
        )
        raise typer.Exit(1)
    console = table_console()
    if as_json:
        console.out(json.dumps(asdict(found)), highlight=False)
    else:
        _print(found, console)


def _print(found: Explanation, console: Console) -> None:
    if found.asked != found.gid:
        console.print(f"Id {found.asked} was merged into id {found.gid}.", highlight=False)
    console.print(_heading(found))
    console.print()
    reasons = [track.reason for track in found.tracks] + [change.reason for change in found.changes]
    terms = list(dict.fromkeys(name for reason in reasons if reason for name in reason.terms))
    tracks = empty_table("from", "to", "camera", "track", "", *_columns(terms), left=_TEXTS)
    for track in found.tracks:
        what = "new id" if track.reason and track.reason.is_new else "joined"
        if track.merged_from is not None:
            began = "came with id" if track.reason is None else "new id" if track.reason.is_new else "joined id"
            what = f"{began} {track.merged_from}"
        what = f"split off: id {track.moved_to} now" if track.moved_to is not None else what
        ended = _clock(track.last_ns) if track.ended else "in view"
        tracks.add_row(
            _clock(track.first_ns), ended, Text(track.camera), track.track_id, what, *_cells(track.reason, terms)
        )
    print_table(console, tracks)
    if found.changes:
        console.print()
        changes = empty_table("at", "change", *_columns(terms), left=_TEXTS)
        for change in found.changes:
            changes.add_row(_clock(change.time_ns), Text(_what(change)), *_cells(change.reason, terms))
        print_table(console, changes)
    console.print()
    console.print(_LEGEND if terms else _LEGEND_REFERENCE, soft_wrap=True)


def _heading(found: Explanation) -> Text:
    record = found.record
    kind = found.class_name or f"class {record.get('class', '')}"
    is_present = record.get("present") == "1"
    where = "in view" if is_present else "not in view"
    # The time in the record of an object in view is that of its newest change.
    times = [whole(record.get(name)) for name in ("first_seen_ns", *([] if is_present else ["last_seen_ns"]))]
    seen = [_clock(time_ns) for time_ns in times if time_ns is not None]
    since = "since" if is_present else "from"
    name = f"{record['name']}  " if record.get("name") else ""
    line = f"id {found.gid}  {name}{kind}  {where}  cameras {record.get('cameras', '')}"
    place = ""
    if record.get("x"):
        speed = f", {record['speed']} m/s" if record.get("speed") else ""
        at = "at" if is_present else "last at"
        place = f"\n{at} {record['x']}, {record.get('y', '')} m ± {record.get('uncertainty', '')} m{speed}"
    return Text(f"{line}\nseen {since} {' to '.join(seen)} (UTC){place}")


def _columns(terms: Sequence[str]) -> list[str]:
    return ["score", *terms, "runner-up", "margin"]


def _cells(reason: Reason | None, terms: Sequence[str]) -> list[str]:
    if reason is None or reason.is_unrivalled:
        return [""] * (len(terms) + 3)
    values = [f"{reason.terms[name]:+.1f}" if name in reason.terms else "" for name in terms]
    runner_up = "" if reason.runner_up is None else f"id {reason.runner_up}" if reason.runner_up else "a new id"
    margin = "" if reason.margin is None else f"{reason.margin:.1f}"
    return [f"{reason.score:+.1f}", *values, runner_up, margin]


def _what(change: Change) -> str:
    asked = "" if change.by is None else f", by {change.by} (command {change.command})"
    if change.kind == "merged":
        return f"id {change.other_gid} was merged into id {change.gid}{asked}"
    return f"track {change.track_id} of {change.camera}: split off id {change.other_gid}, id {change.gid} now{asked}"


def _clock(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%H:%M:%S.%f")[:-5]
