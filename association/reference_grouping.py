"""The reference mode: groups tracks by one linkage of their similarities, as `run_live_mtmc.py` did. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from association.changes import IdentityChanges, waiting_tracks
from association.constraints import Constraints
from association.decisions import Decision
from association.identities import Identities, Identity
from association.likeness import Gallery, Groups, Likeness
from association.linkage import Features, Linkage, group_similarity
from association.outcome import CameraTick, CycleResult
from association.possibility import Possibility, Visit
from association.settings import AssociationSettings
from association.track_table import TrackTable

_SPLIT_MARGIN = 0.1
"""Hysteresis: a track is split off only if its similarity is this far below the minimum for joining."""
_MOVE_MARGIN = 0.05
"""Hysteresis: a track moves to another identity only if its similarity to that one is this much higher."""
_DECIMALS = 4
"""Similarities are rounded to this many decimals. The last bits of a matrix product depend on memory alignment and must
not decide between candidates that are equally similar: a replay could diverge from the run that it repeats."""


class ReferenceGrouping:
    """Assigns the tracks of a table to identities."""

    def __init__(
        self, table: TrackTable, identities: Identities, possibility: Possibility, settings: AssociationSettings
    ) -> None:
        self._table, self._identities = table, identities
        self._constraints, self._settings = Constraints(table, possibility), settings
        self._changes = IdentityChanges(table, identities)

    def observe(self, seen: CameraTick, rows: npt.NDArray[np.intp]) -> None:
        """A track that has a gid keeps its class, because all tracks of an identity have one class."""
        table = self._table.rows
        unnamed = table["gid"][rows] == 0
        table["class"][rows[unnamed]] = seen.batch.class_ids[unnamed]

    def forget(self, row: int) -> None:
        """Nothing is kept about a track outside the table."""

    def renumber_rows(self, new_rows: npt.NDArray[np.intp]) -> None:
        """Nothing is kept about a track outside the table."""

    def to_dict(self) -> dict[str, Any]:
        """Nothing is learned."""
        return {}

    def restore(self, data: Mapping[str, Any], camera_index: Sequence[int]) -> None:
        """Nothing is learned."""

    # -- new tracks ------------------------------------------------------------------------------------

    def assign(self, result: CycleResult) -> None:
        """Assign every track with enough embeddings to an identity, in order of descending similarity."""
        waiting = waiting_tracks(self._table, self._settings.min_track_frames)
        if not waiting:
            return
        singles = [[row] for row in waiting]
        choices = list(self._identities)
        similarity = self._similarity(singles, [identity.rows for identity in choices])

        def possible(i: int, j: int) -> bool:
            return self._constraints.may_join(waiting[i], choices[j])

        left = list(range(len(waiting)))
        while left:
            found = _best(similarity, self._settings.min_similarity, possible)
            if found is None:
                i, j, decision = left[0], len(choices), Decision()
                choices.append(self._changes.create(waiting[i]))
                similarity = np.hstack([similarity, np.full((len(waiting), 1), -np.inf, np.float32)])
            else:
                i, j = found
                decision = Decision(float(similarity[i, j]))
            left.remove(i)
            self._changes.join(waiting[i], choices[j], decision, result)
            similarity[:, j] = self._similarity(singles, [choices[j].rows])[:, 0]
            similarity[[k for k in range(len(waiting)) if k not in left]] = -np.inf

    # -- revising --------------------------------------------------------------------------------------

    def revise(self, result: CycleResult) -> None:
        """Move tracks that fit another identity better, split off tracks that fit none, and merge identities.

        Only identities with live tracks are revised, because others cannot have changed.
        """
        self._move_misplaced(result)
        for identity in self._identities.by_gid():
            if identity.present and len(identity.rows) > 1:
                self._split_outliers(identity, result)
        self._merge_similar(result)

    def _move_misplaced(self, result: CycleResult) -> None:
        """Move live tracks that are clearly more similar to another identity than to the rest of their own.

        The first crops of a track can be misleading; without this, an early mistake would last as long as the track.
        Only one track at a time leaves an identity, and only if the remaining tracks are still possible without it.
        """
        rows = self._table.rows
        identities = {identity.gid: identity for identity in self._identities}
        shared = [row for row in self._table.alive().tolist() if rows["gid"][row]]
        shared = [row for row in shared if len(identities[int(rows["gid"][row])].rows) > 1]
        shared = [row for row in shared if row not in identities[int(rows["gid"][row])].pinned]
        if not shared or len(identities) < 2:
            return
        every = self._identities.by_gid()
        similarity = self._similarity([[row] for row in shared], [identity.rows for identity in every])
        column = {identity.gid: j for j, identity in enumerate(every)}
        gain = np.where(similarity >= self._settings.min_similarity, similarity, -np.inf)
        for i, row in enumerate(shared):
            home = identities[int(rows["gid"][row])]
            at_home = self._similarity_with_others(home, row)
            # A track that cannot be compared (its embedder is new) does not move.
            gain[i] = gain[i] - at_home - _MOVE_MARGIN if at_home > -np.inf else -np.inf
            gain[i, column[home.gid]] = -np.inf

        def possible(i: int, j: int) -> bool:
            home, there = identities[int(rows["gid"][shared[i]])], every[j]
            may_join = self._constraints.may_join(shared[i], there)
            return may_join and self._constraints.is_possible_without(home, shared[i])

        while (found := _best(gain, 0.0, possible)) is not None:
            row, there = shared[found[0]], every[found[1]]
            home = identities[int(rows["gid"][row])]
            self._changes.move(row, there, Decision(float(similarity[found])), result)
            # Comparisons with either of the two are out of date; they are repeated at the next revision.
            of_the_two = [k for k, other in enumerate(shared) if rows["gid"][other] in (home.gid, there.gid)]
            gain[of_the_two] = -np.inf
            gain[:, [column[home.gid], column[there.gid]]] = -np.inf

    def _split_outliers(self, identity: Identity, result: CycleResult) -> None:
        while not self._constraints.is_possible(identity):
            # Split off the newest live track whose removal makes the rest possible, else the newest live track.
            live = self._live_of(identity)
            if not live or len(identity.rows) < 2:
                break
            enough = (row for row in live if self._constraints.is_possible_without(identity, row))
            self._split(identity, next(enough, live[0]), result)
        minimum = self._settings.min_similarity - _SPLIT_MARGIN
        for row in self._live_of(identity):
            # A track that cannot be compared (-inf: its embedder is new) is not split off.
            if len(identity.rows) > 1 and -np.inf < self._similarity_with_others(identity, row) < minimum:
                self._split(identity, row, result)

    def _live_of(self, identity: Identity) -> list[int]:
        """Its live tracks, the newest first, without those that an operator merged or split."""
        ended = self._table.rows["ended"]
        return [row for row in reversed(identity.rows) if not ended[row] and row not in identity.pinned]

    def _similarity_with_others(self, identity: Identity, row: int) -> float:
        others = [other for other in identity.rows if other != row]
        return float(self._similarity([[row]], [others])[0, 0])

    def _split(self, identity: Identity, row: int, result: CycleResult) -> None:
        score = max(self._similarity_with_others(identity, row), -1.0)
        self._changes.split(identity, row, Decision(score), result)

    def _merge_similar(self, result: CycleResult) -> None:
        """Merge the most similar possible pair with at least one identity in view; repeat until there is none."""
        every = self._identities.by_gid()
        present = [k for k, identity in enumerate(every) if identity.present]
        if len(every) < 2 or not present:
            return
        groups = [identity.rows for identity in every]
        similarity = self._similarity([groups[k] for k in present], groups)
        similarity[np.arange(len(present)), present] = -np.inf
        gone: list[int] = []

        def possible(i: int, j: int) -> bool:
            return self._constraints.may_merge(every[present[i]], every[j])

        while (found := _best(similarity, self._settings.min_similarity, possible)) is not None:
            score = float(similarity[found])
            kept, lost = sorted((present[found[0]], found[1]))
            self._changes.merge(every[kept], every[lost], Decision(score), result)
            gone.append(lost)
            # At least one of the two was in view, so the merged identity is.
            present = [kept if k == lost else k for k in present]
            own = [i for i, k in enumerate(present) if k == kept]
            similarity[own] = self._similarity([every[kept].rows], groups)
            similarity[:, kept] = self._similarity([groups[k] for k in present], [every[kept].rows])[:, 0]
            similarity[own[1:]] = similarity[own, kept] = similarity[:, gone] = -np.inf

    # -- shared ----------------------------------------------------------------------------------------

    def weigh(self, rows: Sequence[int], others: Sequence[int]) -> Decision:
        """How similar two groups of tracks are; -1 if they cannot be compared."""
        return Decision(max(float(self._similarity([rows], [others])[0, 0]), -1.0))

    def gallery(self, embedder: str, _camera: int | None, groups: Groups) -> Gallery | None:
        """A copy of how groups of rows look; None if none of them has embeddings of this embedder."""
        table = self._table
        rows, numbers = _flat(groups)
        if embedder not in table.embedders:
            return None
        of_it = table.rows["embedder"][rows] == table.embedders.index(embedder)
        if not of_it.any():
            return None
        found, places = np.unique(numbers[of_it], return_inverse=True)
        return _Looks(table.features(rows[of_it]), places, found, len(groups), self._settings.linkage)

    def clashes(self, _one: Visit, _other: Visit) -> bool:
        """Whether two tracks of one camera that overlap in time are two objects: always."""
        return True

    def _similarity(self, a: Sequence[Sequence[int]], b: Sequence[Sequence[int]]) -> Features:
        """Similarity between groups of rows, `(len(a), len(b))` float32.

        -inf for groups of different classes, or without an embedder in common.
        """
        rows_a, groups_a, rows_b, groups_b = *_flat(a), *_flat(b)
        similarity = np.full((len(a), len(b)), -np.inf, np.float32)
        embedders_a, embedders_b = self._table.rows["embedder"][rows_a], self._table.rows["embedder"][rows_b]
        for embedder in np.intersect1d(embedders_a, embedders_b):
            of_a, of_b = embedders_a == embedder, embedders_b == embedder
            present_a, numbers_a = np.unique(groups_a[of_a], return_inverse=True)
            present_b, numbers_b = np.unique(groups_b[of_b], return_inverse=True)
            features_a, features_b = self._table.features(rows_a[of_a]), self._table.features(rows_b[of_b])
            found = group_similarity(features_a, numbers_a, features_b, numbers_b, self._settings.linkage)
            where = np.ix_(present_a, present_b)
            similarity[where] = np.maximum(similarity[where], found)
        classes = self._table.rows["class"]
        class_a, class_b = classes[[group[0] for group in a]], classes[[group[0] for group in b]]
        similarity[class_a[:, None] != class_b[None, :]] = -np.inf
        return np.round(similarity, _DECIMALS)


@dataclass(frozen=True)
class _Looks:
    """How groups of tracks look; a copy that any thread may use."""

    features: Features
    places: npt.NDArray[np.intp]
    """For each track its group, counted among those that can be compared."""
    comparable: npt.NDArray[np.intp]
    """The numbers of these groups among all."""
    count: int
    linkage: Linkage

    def likeness(self, embedding: Features) -> Likeness | None:
        """The similarity, twice: this mode has no other score; see `Gallery`."""
        length = self.features.shape[1]
        if len(embedding) > length:  # Embedders of one site may differ in length; the rest is zero.
            return None
        crop = np.zeros((1, length), np.float32)
        crop[0, : len(embedding)] = embedding
        similarity = np.full(self.count, -np.inf)
        first = np.zeros(1, np.intp)
        similarity[self.comparable] = group_similarity(crop, first, self.features, self.places, self.linkage)[0]
        return similarity, similarity


def _flat(groups: Sequence[Sequence[int]]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    rows = np.array([row for group in groups for row in group], np.intp)
    return rows, np.repeat(np.arange(len(groups)), [len(group) for group in groups])


def _best(similarity: Features, minimum: float, possible: Callable[[int, int], bool]) -> tuple[int, int] | None:
    """The possible index pair with the highest `similarity` of at least `minimum`; ties in order of index.

    Pairs found to be impossible are set to -inf in `similarity`, so that they are not checked again.
    """
    i, j = np.nonzero(similarity >= minimum)
    order = np.argsort(-similarity[i, j], kind="stable")
    for pair in zip(i[order].tolist(), j[order].tolist(), strict=True):
        if possible(*pair):
            return pair
        similarity[pair] = -np.inf
    return None
