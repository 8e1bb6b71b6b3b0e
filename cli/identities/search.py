"""`mtmc identities search`: the identities that look like a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.text import Text

from cli.console import empty_table
from launcher.site_access import SiteChoice, open_site
from shared.errors import MtmcError
from shared.jpeg_size import jpeg_size
from shared.questions import ask
from shared.searches import COMPARE, CROP_BYTES_MOST, CROP_SIDE_MOST, EMBED, decode_matches
from shared.site_state.identities import read_identities
from shared.terminal_tables import print_table

_TAKE_S, _ANSWER_S = 4.0, 8.0


def search_identities(
    picture: Path,
    crop_camera: str | None,
    limit: int,
    choice: SiteChoice,
    environment: Mapping[str, str],
    console: Console,
    *,
    as_json: bool,
) -> int:
    """Prints the identities that look most like the object in `picture`; the exit code.

    Raises:
        MtmcError: the picture cannot be used, the site cannot be reached, or nobody answers.
    """
    jpeg = _read(picture)
    with open_site(choice, environment) as site, site.address.pictures(site.client) as frames:
        state = site.read_state()
        if not state.workers or not state.aggregator:
            what = "aggregator" if state.workers else "worker"
            raise MtmcError(f"no {what} is running; start the site with `mtmc up`, or look at `mtmc status`")
        if crop_camera is not None and state.camera(crop_camera) is None:
            raise MtmcError(f"this site has no camera '{crop_camera}'")
        embedded = ask(frames, site.keys, EMBED, {"payload": jpeg}, take_s=_TAKE_S, answer_s=_ANSWER_S)
        crop = {name: embedded.get(name, b"") for name in ("embedder", "payload")} | {"camera": crop_camera or ""}
        mode, found = decode_matches(ask(frames, site.keys, COMPARE, crop, take_s=_TAKE_S, answer_s=_ANSWER_S))
        found = found[:limit]
        known = {one.record.gid: one for one in read_identities(site.client, site.keys, [gid for gid, _, _ in found])}
    matches = [(known[gid], score, similarity) for gid, score, similarity in found if gid in known]
    if as_json:
        listed = [
            {
                "gid": one.record.gid,
                "name": one.record.name,
                "class_name": one.class_name,
                "score": score,
                "similarity": similarity,
            }
            for one, score, similarity in matches
        ]
        console.out(json.dumps({"site": site.keys.site, "mode": mode, "matches": listed}), highlight=False)
        return 0
    table = empty_table("id", "name", "class", "score", "similarity", "cameras", left=("name", "class", "cameras"))
    for one, score, similarity in matches:
        table.add_row(
            str(one.record.gid),
            Text(one.record.name or ""),
            Text(one.class_name or ""),
            f"{score:.2f}",
            f"{similarity:.2f}",
            Text(" ".join(one.record.cameras)),
        )
    if matches:
        print_table(console, table)
    else:
        console.print("no identities")
    return 0


def _read(picture: Path) -> bytes:
    try:
        jpeg = picture.read_bytes()
    except OSError as error:
        raise MtmcError(f"{picture} cannot be read ({error.strerror})") from None
    size = jpeg_size(jpeg)
    if size is None:
        raise MtmcError(f"{picture} is not a JPEG; convert it")
    if len(jpeg) > CROP_BYTES_MOST or max(size) > CROP_SIDE_MOST:
        raise MtmcError(
            f"{picture} is too large; cut out one object, in at most {CROP_BYTES_MOST // 1024} KiB and "
            f"{CROP_SIDE_MOST} pixels each way"
        )
    return jpeg
