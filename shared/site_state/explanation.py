"""Reads from Redis why an identity has the tracks that it has: the decisions in `sightings:{gid}` and `events`."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from shared.keys import Keys
from shared.lenient_reads import entries_at, fields_at, hash_at, newest_entries_at
from shared.lenient_values import class_names, decimal, following, stream_id, text_fields, whole
from shared.redis_connection import Client

Fields = Mapping[str, str]
_MOST_ALIASES = 100
"""A chain of merged gids is not followed any further; the aggregator writes none that is longer than one."""


_MOST_CHANGES = 10_000
"""Merges and splits to remember; `events` keeps about as many events."""
_AT_ONCE = 2_000
_MOST_MERGED = 100
"""The sightings of so many identities that were merged into one are read, the newest merges first."""
_TrackKey = tuple[str, str, int]
"""Camera, track and start, ns."""


@dataclass(frozen=True)
class Reason:
    """What spoke for a decision."""

    score: float
    """Log-likelihood ratio in the live mode: the sum of `terms`. For a new identity, that of the runner-up."""
    terms: Mapping[str, float]
    runner_up: int | None
    """Gid of the second best choice; 0: a new identity; None: there was none."""
    margin: float | None

    @property
    def is_unrivalled(self) -> bool:
        """A new identity began, because no known one could be the object."""
        return self.score == 0 and not self.terms and self.runner_up is None

    @property
    def is_new(self) -> bool:
        """A new identity began: the score is that of the runner-up, and the margin is how much it was too low."""
        return self.is_unrivalled or (bool(self.runner_up) and self.margin == -self.score)


@dataclass(frozen=True)
class TrackOfIdentity:
    """One track of an identity, as written when it joined and when it ended."""

    camera: str
    track_id: str
    """A 64-bit number; text, because many JSON readers would round it."""
    first_ns: int
    last_ns: int
    ended: bool
    reason: Reason | None
    """Why it belongs to the identity; None if nothing is written of it."""
    moved_to: int | None = None
    """Gid of the identity that it belongs to now, if it was split off."""
    merged_from: int | None = None
    """Gid of the identity that it joined, if that was merged into this one later; `reason` is why it joined that."""


@dataclass(frozen=True)
class Change:
    """A merge or a split that the identity took part in."""

    time_ns: int
    kind: str
    gid: int
    other_gid: int
    camera: str
    track_id: str
    reason: Reason | None
    by: str | None = None
    """The operator who asked for it; None: the aggregator decided."""
    command: str | None = None
    """Id of the operator's command."""


@dataclass(frozen=True)
class Explanation:
    """All that is written of one identity."""

    gid: int
    asked: int
    """The gid that was asked for; another one if it was merged into `gid`."""
    class_name: str | None
    """Of its class, if one of its cameras says how the classes are called."""
    record: Fields
    """The hash `identity:{gid}`."""
    tracks: tuple[TrackOfIdentity, ...]
    """By the time of their start."""
    changes: tuple[Change, ...]
    """Oldest first, with the merges of those that were merged into it; only those that `events` still has."""


class ChangeLog:
    """The merges and splits in `events`. Reads only what is new since the last time; safe to use from any thread."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client, self._keys = client, keys
        self._lock = threading.Lock()
        self._last = (0, 0)
        self._found: deque[Fields] = deque(maxlen=_MOST_CHANGES)

    def read(self) -> list[Fields]:
        """The fields of each merge and split, oldest first.

        Raises:
            RedisError: Redis is unreachable.
        """
        with self._lock:
            self._read_new()
            return list(self._found)

    def _read_new(self) -> None:
        key = self._keys.events
        newest = newest_entries_at(self._client, key, count=1)
        if not newest or stream_id(newest[0][0]) < self._last:  # The stream began anew.
            self._last = (0, 0)
            self._found.clear()
        while (first := following(self._last)) is not None:
            entries = entries_at(self._client, key, first=first, count=_AT_ONCE)
            if not entries:
                break
            for entry_id, fields in entries:
                self._last = stream_id(entry_id)
                if fields.get(b"kind") in (b"merged", b"split"):
                    self._found.append(text_fields(fields))


def surviving(client: Client, keys: Keys, gid: int) -> int:
    """The identity that `gid` was merged into, or `gid` itself.

    Raises:
        RedisError: Redis is unreachable.
    """
    for _ in range(_MOST_ALIASES):
        alias = whole(fields_at(client, keys.aliases, [str(gid)])[0])
        if alias is None or alias <= 0:
            break
        gid = alias
    return gid


def read_explanation(client: Client, keys: Keys, gid: int, log: ChangeLog | None = None) -> Explanation | None:
    """What is written of an identity; None if there is none with this gid.

    `log`: that of a process that reads often.

    Raises:
        RedisError: Redis is unreachable.
    """
    current = surviving(client, keys, gid)
    record = text_fields(hash_at(client, keys.identity(current)))
    if not record:
        return None
    changes = tuple(_changes(current, (log or ChangeLog(client, keys)).read()))
    merges = [change for change in reversed(changes) if change.kind == "merged" and change.other_gid != current]
    merged = dict.fromkeys(change.other_gid for change in merges[:_MOST_MERGED])
    earlier = {other: _sightings(client, keys, other) for other in merged}
    tracks = _tracks(current, _sightings(client, keys, current), changes)
    origins = _Origins(merges, earlier)
    class_name = class_name_of(client, keys, record)
    return Explanation(current, gid, class_name, record, tuple(map(origins.restored, tracks)), changes)


def _sightings(client: Client, keys: Keys, gid: int) -> list[Fields]:
    return [text_fields(fields) for _, fields in entries_at(client, keys.sightings(gid))]


def class_name_of(client: Client, keys: Keys, record: Fields) -> str | None:
    """What one of its cameras calls the class of an identity; None if none says it."""
    class_id = whole(record.get("class"))
    for camera in record.get("cameras", "").split():
        (text,) = fields_at(client, keys.camera(camera), ["class_names"])
        names = class_names((text or b"").decode(errors="replace"))
        if class_id is not None and 0 <= class_id < len(names):
            return names[class_id]
    return None


def _tracks(gid: int, sightings: Iterable[Fields], changes: Iterable[Change]) -> list[TrackOfIdentity]:
    """The tracks of an identity: one for all entries of `sightings` with the same camera, track and start."""
    newest_split: dict[tuple[str, str], int] = {}
    for one in changes:
        if one.kind == "split":
            newest_split[one.camera, one.track_id] = one.gid
        else:  # What was split off may have been merged again.
            newest_split = {track: one.gid if to == one.other_gid else to for track, to in newest_split.items()}
    tracks: dict[tuple[str, str, int], TrackOfIdentity] = {}
    for fields in sightings:
        key, last_ns = _key_of(fields), whole(fields.get("last_ns"))
        if key is None or last_ns is None:
            continue
        camera, track_id, first_ns = key
        known = tracks.get(key)
        now = newest_split.get((camera, track_id), gid)
        tracks[key] = TrackOfIdentity(
            camera,
            track_id,
            first_ns,
            last_ns,
            fields.get("ended") == "1",
            reason_of(fields) or (known.reason if known else None),
            now if now != gid else None,
        )
    return sorted(tracks.values(), key=lambda track: (track.first_ns, track.camera, track.track_id))


def _key_of(sighting: Fields) -> _TrackKey | None:
    first_ns = whole(sighting.get("first_ns"))
    return None if first_ns is None else (sighting.get("camera", ""), sighting.get("track_id", ""), first_ns)


class _Origins:
    """Why tracks joined identities that were merged later. A merge replaces the reason of each track with its own."""

    def __init__(self, merges: Iterable[Change], earlier: Mapping[int, Iterable[Fields]]) -> None:
        """`earlier`: the gid of each merged identity → its sightings, the newest merge first."""
        self._merges = [(change.reason, change.other_gid) for change in merges if change.reason is not None]
        self._found: dict[_TrackKey, tuple[int, Reason | None]] = {}
        for gid, sightings in earlier.items():
            for fields in sightings:
                self._add(gid, fields)

    def _add(self, gid: int, fields: Fields) -> None:
        key, reason = _key_of(fields), reason_of(fields)
        if key is None or (reason is not None and self._merge_with(reason) is not None):
            return
        known_gid, known = self._found.get(key, (gid, None))
        if known is None or (known_gid == gid and reason is not None):
            self._found[key] = (gid, reason)

    def _merge_with(self, reason: Reason) -> int | None:
        return next((gid for merge, gid in self._merges if merge == reason), None)

    def restored(self, track: TrackOfIdentity) -> TrackOfIdentity:
        """The track with the reason for which it joined, instead of that of a merge."""
        merged_from = None if track.reason is None else self._merge_with(track.reason)
        if track.reason is not None and merged_from is None:
            return track
        key = track.camera, track.track_id, track.first_ns
        gid, reason = self._found.get(key, (merged_from, None))
        return replace(track, reason=reason, merged_from=gid)


def _changes(gid: int, events: Sequence[Fields]) -> list[Change]:
    """The changes of an identity, and the merges into those that were merged into it later; oldest first."""
    found, gids = [], {gid}
    for fields in reversed(events):
        one, other, time_ns = (whole(fields.get(name)) for name in ("gid", "other_gid", "time_ns"))
        is_merge, is_split = fields.get("kind") == "merged", fields.get("kind") == "split"
        if one is None or other is None or time_ns is None:
            continue
        if gid in (one, other) if is_split else is_merge and (one in gids or other == gid):
            place = fields.get("camera", ""), fields.get("track_id", "")
            asked = fields.get("by"), fields.get("command")
            found.append(Change(time_ns, fields["kind"], one, other, *place, reason_of(fields), *asked))
            if is_merge and one in gids:
                gids.add(other)
    return found[::-1]


def reason_of(fields: Fields) -> Reason | None:
    """The decision in an entry; None if it has none, or one that cannot be read."""
    score = decimal(fields.get("score"))
    pairs = (part.partition("=") for part in fields.get("terms", "").split())
    terms = {name: decimal(value) for name, _, value in pairs}
    known = {name: value for name, value in terms.items() if value is not None}
    runner_up, margin = whole(fields.get("runner_up")), decimal(fields.get("margin"))
    unreadable = (runner_up is None and "runner_up" in fields) or (margin is None and "margin" in fields)
    if score is None or len(known) < len(terms) or unreadable:
        return None
    return Reason(score, known, runner_up, margin)
