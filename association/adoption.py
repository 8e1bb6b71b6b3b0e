"""Makes a state agree with what was published, where another processor or other settings decided differently. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from association.identities import Identities, Identity
from association.track_table import TrackTable


@dataclass(frozen=True)
class Published:
    """What the last owner published of identities."""

    gids: Mapping[tuple[int, int], int]
    """The global-ID map: (index of the camera, track_id) → gid."""
    earlier: Mapping[tuple[int, int], int]
    """The last gid of tracks that may have left the map since the state began to differ."""
    aliases: Mapping[int, int]
    """Merged gid → surviving gid."""
    names: Mapping[int, str] = field(default_factory=dict)
    """Gid → the name that an operator gave."""


@dataclass
class Adopted:
    """What has changed in the state."""

    tracks: int = 0
    """Number of tracks that have another gid now, or none."""
    touched: set[int] = field(default_factory=set)
    """Gids of existing identities that changed."""


def adopt(table: TrackTable, identities: Identities, published: Published) -> Adopted:
    """Give every track the gid under which it was published.

    An open track that was published without a gid waits for one like a new track. Tracks of which nothing was published
    since the state began to differ stay with their identity.
    """
    adopted = Adopted()
    wanted = _wanted(table, identities, published)
    for row in wanted:
        _leave(row, table, identities, adopted)
    for row, gid in wanted.items():
        adopted.tracks += 1
        if gid:
            _join(row, gid, table, identities, published, adopted)
    for gid in list(adopted.touched):
        identity = identities[gid]
        if identity.rows:
            identity.present = not bool(table.rows["ended"][identity.rows].all())
        else:
            identities.remove(gid)
            adopted.touched.remove(gid)
    return adopted


def _wanted(table: TrackTable, identities: Identities, published: Published) -> dict[int, int]:
    """Row → gid, of the tracks whose gid has to change; 0: none."""
    rows, wanted = table.rows, dict[int, int]()
    for row in np.flatnonzero(rows["used"]).tolist():
        here = gid = int(rows["gid"][row])
        key = int(rows["camera"][row]), int(rows["track_id"][row])
        is_open = not rows["ended"][row]
        if key in published.gids:
            gid = published.gids[key]
        elif is_open:
            gid = 0
        else:
            rows["lingering"][row] = False
            gid = published.earlier.get(key, gid)
        gid = published.aliases.get(gid, gid)
        if gid != here:
            wanted[row] = gid
    return wanted


def _leave(row: int, table: TrackTable, identities: Identities, adopted: Adopted) -> None:
    gid = int(table.rows["gid"][row])
    if gid:
        identities[gid].drop(row)
        adopted.touched.add(gid)
    table.rows["gid"][row] = 0


def _join(
    row: int, gid: int, table: TrackTable, identities: Identities, published: Published, adopted: Adopted
) -> None:
    rows = table.rows
    first_ns, last_ns = int(rows["first_ns"][row]), int(rows["last_ns"][row])
    if gid not in identities:
        absorbed = sorted(younger for younger, older in published.aliases.items() if older == gid)
        name = published.names.get(gid, "")
        identities.add(Identity(gid, int(rows["class"][row]), first_ns, last_ns, absorbed=absorbed, name=name))
    identity = identities[gid]
    identity.rows.append(row)
    identity.first_ns, identity.last_ns = min(identity.first_ns, first_ns), max(identity.last_ns, last_ns)
    rows["gid"][row] = gid
    adopted.touched.add(gid)
