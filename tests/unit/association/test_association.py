"""The association over whole scenes with clean embeddings, and over long random ones."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from association.core import Association
from association.linkage import Linkage
from association.outcome import CameraTick
from shared.layout import Layout
from shared.messages import TrackBatch
from tests.unit.association.scenes import (
    EMBEDDER,
    TICK_NS,
    Run,
    Stay,
    batch,
    entries,
    overlapping,
    play,
    settings,
    street,
)

# -- assigning -------------------------------------------------------------------------------------------


def test_a_vehicle_seen_by_overlapping_cameras_has_one_gid() -> None:
    run = play(overlapping(3), [Stay(1, 0, 1, 60), Stay(1, 1, 5, 60), Stay(1, 2, 20, 50), Stay(2, 0, 1, 60)])
    assert run.gid(1) == run.gid(2) == run.gid(3)
    assert run.gid(4) not in (None, run.gid(1))


def test_a_vehicle_keeps_its_gid_from_camera_to_camera() -> None:
    run = play(street(3), [Stay(1, 0, 1, 40), Stay(1, 1, 90, 130), Stay(1, 2, 170, 220)])
    assert run.gid(1) == run.gid(2) == run.gid(3)
    assert run.kinds() == ["appeared", "left", "handover", "left", "handover", "left"]
    assert [event.from_camera for event in run.events if event.kind == "handover"] == [0, 1]


def test_a_vehicle_keeps_its_gid_while_its_old_track_has_not_ended() -> None:
    """The old view's tracker still coasts while the new view already shows the object: no second gid, no merge."""
    run = play(street(2), [Stay(1, 0, 1, 40, hidden=25), Stay(1, 1, 52, 120)])
    assert run.gid(1) == run.gid(2)
    assert [gid for _, gid in [(0, change.gid) for _, change in run.changes] if gid] == [1, 1]


def test_similar_objects_stay_apart_if_the_layout_rules_out_one_object() -> None:
    at_once = [Stay(1, 0, 1, 60), Stay(1, 1, 20, 80)]
    too_fast = [Stay(1, 0, 1, 40), Stay(1, 1, 45, 80)]
    too_slow = [Stay(1, 0, 1, 40), Stay(1, 1, 260, 300)]
    for stays in (at_once, too_fast, too_slow):
        run = play(street(2), stays)
        assert run.gid(1) != run.gid(2)
        assert run.kinds().count("appeared") == 2
    same_camera = play(street(2), [Stay(1, 0, 1, 60), Stay(1, 0, 30, 80)])
    assert same_camera.gid(1) != same_camera.gid(2)


def test_different_looking_objects_stay_apart_even_if_the_layout_allows_one_object() -> None:
    run = play(street(2), [Stay(1, 0, 1, 40), Stay(2, 1, 90, 130)])
    assert run.gid(1) != run.gid(2)


def test_a_returning_vehicle_gets_its_gid_back_within_retention() -> None:
    run = play(street(2), [Stay(1, 0, 1, 40), Stay(1, 0, 600, 640)], retention_s=60)
    assert run.gid(1) == run.gid(2)


def test_a_returning_vehicle_gets_a_new_gid_after_retention() -> None:
    run = play(street(2), [Stay(1, 0, 1, 40), Stay(1, 0, 660, 700)], retention_s=60)
    assert (run.gid(1), run.gid(2)) == (1, 2)
    assert [gone.gid for result in run.results for gone in result.forgotten] == [1]


def test_a_fragmented_track_rejoins_its_identity() -> None:
    run = play(overlapping(2), [Stay(1, 0, 1, 40), Stay(1, 1, 1, 120), Stay(1, 0, 45, 80), Stay(1, 0, 90, 120)])
    assert {run.gid(track) for track in (1, 2, 3, 4)} == {1}


def test_a_track_that_ends_before_min_track_frames_never_gets_a_gid() -> None:
    run = play(street(2), [Stay(1, 0, 1, 2), Stay(2, 0, 10, 12)], upto=900)
    assert (run.gid(1), run.gid(2)) == (None, 1)
    assert len(run.association.table) == 0


def test_objects_of_different_classes_never_share_a_gid() -> None:
    run = play(overlapping(2), [Stay(1, 0, 1, 60, class_id=2), Stay(1, 1, 5, 60, class_id=7)])
    assert run.gid(1) != run.gid(2)


def test_a_track_with_a_gid_keeps_its_class_when_the_detector_changes_it() -> None:
    stays = [Stay(1, 0, 1, 60, class_id=2), Stay(1, 1, 5, 60, class_id=2)]
    changed = [Stay(1, 0, 1, 60, class_id=7), Stay(1, 1, 5, 60, class_id=2)]
    seen = [*(e for e in entries(stays) if e.tick <= 30), *(e for e in entries(changed) if e.tick > 30)]
    run = Run(Association(overlapping(2), settings())).play(seen)
    assert run.gid(1) == run.gid(2)
    assert "split" not in run.kinds()


def test_embeddings_of_different_embedders_are_never_compared() -> None:
    run = play(overlapping(2), [Stay(1, 0, 1, 60, embedder="one"), Stay(1, 1, 5, 60, embedder="other")])
    assert run.gid(1) != run.gid(2)


def test_switching_the_embedder_at_run_time_changes_no_live_gid() -> None:
    """Workers are updated one after another; live tracks are embedded first by the old model, then by the new one."""
    before = [Stay(1, 0, 1, 60), Stay(1, 1, 5, 60)]
    after = [Stay(91, 0, 1, 60, embedder="new"), Stay(91, 1, 5, 60, embedder="new")]
    old, new = entries(before), entries(after)
    seen = [o if o.tick <= 25 + 10 * o.camera else n for o, n in zip(old, new, strict=True)]
    run = Run(Association(overlapping(2), settings())).play(seen)
    assert run.gid(1) == run.gid(2) == 1
    assert "split" not in run.kinds()


# -- merge, split, leave ---------------------------------------------------------------------------------


def unlike_then_alike(association: Association, cameras: int = 2, joined_at: int = 40) -> Run:
    """One track per camera; they look different until tick `joined_at`, then very similar to object 1."""
    tracks = range(cameras)
    before = entries([Stay(10 + i, i, 1, joined_at) for i in tracks])
    after = entries([Stay(1, i, 1, joined_at + 400) for i in tracks])
    return Run(association).play([*(e for e in before if e.tick <= 5), *(e for e in after if e.tick > 5)])


def test_a_merge_keeps_the_older_gid_and_an_alias() -> None:
    run = unlike_then_alike(Association(overlapping(2), settings()))
    assert run.gid(1) == run.gid(2) == 1
    assert run.aliases == {2: 1}
    merged = [event for event in run.events if event.kind == "merged"]
    assert [(event.gid, event.other_gid) for event in merged] == [(1, 2)]


def test_chains_of_aliases_point_to_the_survivor() -> None:
    run = unlike_then_alike(Association(overlapping(4), settings()), cameras=4)
    assert run.aliases == {2: 1, 3: 1, 4: 1}


def test_an_alias_is_dropped_when_its_identity_is_forgotten() -> None:
    run = unlike_then_alike(Association(overlapping(3), settings(retention_s=10)), cameras=3)
    run.play([], upto=run.tick + 200)
    assert sorted(gid for result in run.results for gid in result.dropped_aliases) == [2, 3]


def test_an_identity_that_never_leaves_keeps_its_last_thousand_aliases() -> None:
    association = Association(overlapping(2), settings())
    run = Run(association).play(entries([Stay(10, 0, 1, 40), Stay(11, 1, 1, 40)]), upto=5)
    association.identities[1].absorbed = list(range(5000, 6000))
    association.identities[2].absorbed = [7000, 7001, 7002]
    alike = entries([Stay(1, 0, 1, 40), Stay(1, 1, 1, 40)])
    run.play([entry for entry in alike if entry.tick > 5], upto=20)
    assert run.aliases == {2: 1, 7000: 1, 7001: 1, 7002: 1}
    assert [gid for result in run.results for gid in result.dropped_aliases] == [5000, 5001, 5002, 5003]
    assert association.identities[1].absorbed == [*range(5004, 6000), 7000, 7001, 7002, 2]


def test_the_sightings_of_a_merged_identity_include_those_of_both() -> None:
    run = unlike_then_alike(Association(overlapping(2), settings()))
    sightings = {(s.gid, s.track_id) for result in run.results for s in result.sightings}
    assert (1, 2) in sightings


def split_scene(**given: float) -> Run:
    """Track 2 looks like track 1 at first, then like a different object for a long time."""
    alike = entries([Stay(1, 0, 1, 100), Stay(1, 1, 5, 300)])
    other = entries([Stay(1, 0, 1, 100), Stay(4, 1, 5, 300)])
    seen = [*(e for e in alike if e.tick <= 15), *(e for e in other if e.tick > 15)]
    return Run(Association(overlapping(2), settings(**given))).play(seen)  # type: ignore[arg-type]


def test_a_track_that_no_longer_fits_is_split_off_with_an_event() -> None:
    run = split_scene()
    split = [event for event in run.events if event.kind == "split"]
    assert [(event.gid, event.other_gid, event.track_id) for event in split] == [(2, 1, 2)]
    assert (run.gid(1), run.gid(2)) == (1, 2)


def test_a_track_with_misleading_first_crops_moves_to_the_right_identity() -> None:
    """Track 3 looks like object 1 in its first three pictures, then like object 2, which two other cameras see."""
    stays = [Stay(1, 0, 1, 200), Stay(2, 1, 1, 200), Stay(2, 3, 1, 200)]
    first = entries([*stays, Stay(1, 2, 5, 200)])
    later = entries([*stays, Stay(2, 2, 5, 200)])
    seen = [*(e for e in first if e.tick <= 7), *(e for e in later if e.tick > 7)]
    run = Run(Association(overlapping(4), settings(min_similarity=0.6))).play([e for e in seen if e.tick <= 9])
    assert run.gid(4) == run.gid(1), "the first crops should be misleading in this scene"
    run.play([e for e in seen if e.tick > 9])
    assert run.gid(4) == run.gid(2) == run.gid(3) != run.gid(1)
    moved = [event for event in run.events if event.kind == "split"]
    assert [(event.gid, event.other_gid, event.track_id) for event in moved] == [(run.gid(2), run.gid(1), 4)]
    check_book(run)


def test_an_identity_that_lost_its_last_live_track_to_a_split_has_left_and_is_forgotten() -> None:
    alike = entries([Stay(1, 0, 1, 20), Stay(1, 1, 5, 300)])
    other = entries([Stay(1, 0, 1, 20), Stay(4, 1, 5, 300)])
    seen = [*(e for e in alike if e.tick <= 18), *(e for e in other if e.tick > 18)]
    run = Run(Association(overlapping(2), settings(retention_s=10))).play(seen)
    assert run.gid(2) == 2
    assert next(event.gid for event in run.events if event.kind == "left") == 1
    assert [identity.gid for identity in run.association.identities] == [2]


def test_two_wrong_tracks_in_one_identity_are_both_split_off() -> None:
    """Three hidden fragments of one camera come back together: only one of them can be the object."""
    stays = [Stay(1, 0, 1, 10, hidden=500), Stay(1, 0, 15, 25, hidden=500), Stay(1, 0, 30, 90, hidden=5)]
    seen = [e for e in entries(stays) if e.tick <= 60]
    run = Run(Association(overlapping(1), settings(lost_s=30))).play(seen)
    assert {run.gid(1), run.gid(2), run.gid(3)} == {1}
    run.play([e for e in entries([Stay(1, 0, 61, 90)] * 3) if e.tick > 60])
    assert len({run.gid(1), run.gid(2), run.gid(3)}) == 3
    assert run.kinds().count("split") == 2
    assert run.gid(1) == 1


def test_a_track_is_removed_from_the_map_linger_seconds_after_its_end() -> None:
    run = play(street(1), [Stay(1, 0, 1, 30, hidden=25)], upto=100, linger_s=2)
    taken_out = [tick for tick, change in run.changes if change.gid == 0]
    assert taken_out == [30 + 25 + 20 + 1]


def test_tracks_of_a_dead_worker_end_after_a_timeout() -> None:
    seen = [e for e in entries([Stay(1, 0, 1, 30)]) if e.tick <= 30]
    run = Run(Association(street(1), settings(lost_s=3.5))).play(seen, upto=70)
    assert run.kinds() == ["appeared", "left"]


def test_a_camera_with_wrong_timestamps_keeps_its_tracks() -> None:
    seen = [CameraTick(e.camera, e.tick, e.time_ns - 20 * 10**9, e.batch) for e in entries([Stay(1, 0, 1, 60)])]
    run = Run(Association(street(1), settings())).play([e for e in seen if e.tick <= 60])
    assert run.kinds() == ["appeared"]
    assert len(run.changes) == 1


def test_a_camera_that_hung_resumes_with_the_same_gid_and_refreshes_its_record() -> None:
    seen = [e for e in entries([Stay(1, 0, 1, 100)]) if not 31 <= e.tick <= 80]
    run = Run(Association(street(1), settings(linger_s=1))).play(seen, upto=90)
    assert run.gids == {(0, 1): 1}
    assert run.kinds() == ["appeared", "left"]
    again = next(result for result in run.results[80:] if result.assignments)
    assert again.touched == {1}, "its record would expire"
    assert run.association.identities[1].present


# -- over time --------------------------------------------------------------------------------------------


def random_scene(seed: int, ticks: int, cameras: int = 4, people: int = 6) -> list[Stay]:
    """Objects wander between overlapping views, disappear, return, and break into fragments."""
    rng = np.random.default_rng(seed)
    stays = []
    for who in range(people):
        tick = int(rng.integers(1, 60))
        while tick < ticks:
            length = int(rng.integers(5, 80))
            for camera in rng.permutation(cameras)[: rng.integers(1, 4)].tolist():
                first = tick + int(rng.integers(0, max(1, length // 3)))
                last = tick + length
                if rng.random() < 0.3 and last - first > 12:
                    middle = first + (last - first) // 2
                    stays.append(Stay(who, camera, first, middle, hidden=int(rng.integers(1, 25))))
                    first = middle + int(rng.integers(1, 8))
                stays.append(Stay(who, camera, first, last, hidden=int(rng.integers(1, 25))))
            tick += length + int(rng.integers(1, 150))
    return stays


def check_book(run: Run) -> None:
    """Invariant 3: a live track's gid changes only with a merge or split in that cycle; no gid is used twice."""
    started: set[int] = set()
    gone: set[int] = set()
    shown: dict[tuple[int, int], int] = {}
    for result in run.results:
        merged = {event.other_gid: event.gid for event in result.events if event.kind == "merged"}
        split = {(event.camera, event.track_id): event for event in result.events if event.kind == "split"}
        for event in result.events:
            if event.kind == "appeared" or (event.kind == "split" and event.gid not in started):
                assert event.gid == len(started) + 1, "a gid was used twice, or skipped"
                started.add(event.gid)
            elif event.kind == "split":
                assert event.gid not in gone, "a track moved to an identity that no longer exists"
        gone |= {*merged, *(identity.gid for identity in result.forgotten)}
        for change in result.assignments:
            key = (change.camera, change.track_id)
            before = shown.get(key)
            if change.gid == 0:
                del shown[key]
                continue
            assert change.gid in started
            if before not in (None, change.gid):
                assert merged.get(before or 0) == change.gid or key in split, "renumbered without an event"
            shown[key] = change.gid
    assert shown == run.gids


@hypothesis_settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 1.0, 2.0]), st.sampled_from(["overlap", "street", "open"]))
def test_a_live_gid_changes_only_with_a_recorded_merge_or_split(seed: int, noise: float, kind: str) -> None:
    layout = {"overlap": overlapping(4), "street": street(4), "open": Layout.open(tuple("ABCD"))}[kind]
    seen = entries(random_scene(seed, 400), noise, seed)
    run = Run(Association(layout, settings(retention_s=15))).play(seen)
    check_book(run)


def test_with_clean_embeddings_every_object_keeps_one_gid_over_a_long_time() -> None:
    stays = random_scene(3, 900)
    run = play(overlapping(4), stays, retention_s=60)
    for who in range(6):
        tracks = [i for i, stay in enumerate(stays, start=1) if stay.who == who]
        assert len({run.gid(track) for track in tracks} - {None}) == 1
    assert not {"merged", "split"} & set(run.kinds())


def test_memory_is_bounded_by_what_is_retained() -> None:
    association = Association(overlapping(4), settings(retention_s=10))
    run, sizes = Run(association), []
    for round_ in range(8):
        stays = random_scene(round_, 150)
        offset, base = round_ * 200, round_ * 1000
        for e in entries(stays):
            ids, ended = e.batch.track_ids + base, e.batch.ended + base
            moved = TrackBatch(**(vars(e.batch) | {"track_ids": ids, "ended": ended}))
            if e.tick <= 199:
                tick = e.tick + offset
                run.tick = max(run.tick, tick - 1)
                run.cycle(tick, [CameraTick(e.camera, tick, tick * TICK_NS, moved)])
        sizes.append((len(association.table), len(association.identities), len(association.table.rows)))
    assert max(size[0] for size in sizes) < 120
    assert {size[2] for size in sizes} == {256}
    run.play([], upto=run.tick + 300)
    assert (len(association.table), len(association.identities), run.gids) == (0, 0, {})


def test_an_object_that_never_leaves_keeps_its_gid_while_its_fragments_are_forgotten() -> None:
    """Camera 1 first connects cameras 0 and 2; after that visit is forgotten, later history remains possible."""
    names = ("A", "B", "C")
    layout = Layout.closed(names)
    for one, other in (("A", "B"), ("B", "A"), ("B", "C"), ("C", "B")):
        layout = layout.with_transition(one, other, 0, 60, overlapping=True)
    # The connecting visit ends after the one that it connects, but is forgotten first.
    stays = [Stay(1, 0, 1, 700), Stay(1, 1, 5, 60, hidden=25), Stay(1, 2, 20, 80), Stay(1, 1, 100, 700)]
    run = play(layout, stays, upto=600, retention_s=20)
    assert {run.gid(track) for track in (1, 2, 3, 4)} == {1}
    assert "split" not in run.kinds()
    assert len(run.association.table) == 2


# -- determinism ------------------------------------------------------------------------------------------


def fingerprint(run: Run) -> object:
    return run.changes, run.events, run.aliases, msgpack.packb(run.association.to_dict())


@pytest.mark.parametrize("linkage", ["average", "single", "complete", "mean_feature"])
def test_a_run_from_a_checkpoint_is_bit_identical_to_the_undisturbed_run(linkage: Linkage) -> None:
    layout, given_ = overlapping(4), settings(linkage=linkage, retention_s=15)
    seen = entries(random_scene(5, 300), 1.5, 5)
    straight = Run(Association(layout, given_)).play(seen)
    broken = Run(Association(layout, given_))
    for cut in range(37, straight.tick, 37):
        broken.play([e for e in seen if e.tick > broken.tick], upto=cut)
        saved = msgpack.unpackb(msgpack.packb(broken.association.to_dict()), strict_map_key=False)
        broken.association = Association(layout, given_)
        broken.association.restore(saved, range(4))
    broken.play([e for e in seen if e.tick > broken.tick])
    assert fingerprint(broken) == fingerprint(straight)


def test_objects_of_a_removed_camera_keep_their_gids_and_can_appear_in_another() -> None:
    run = play(overlapping(3), [Stay(1, 0, 1, 60), Stay(1, 1, 1, 60), Stay(2, 1, 1, 60)], upto=50)
    saved = run.association.to_dict()
    run.association = Association(overlapping(1).over(("A", "B")), settings())
    run.association.restore(saved, [0, 1, -1])
    seen = entries([Stay(1, 0, 1, 200), Stay(2, 0, 150, 200)])
    run.play([e for e in seen if e.tick > 50])
    assert [identity.gid for identity in run.association.identities] == [1, 2]
    assert "split" not in run.kinds()
    assert [(e.gid, e.camera, e.from_camera) for e in run.events if e.kind == "handover"][-1] == (2, 0, 1)


# -- realistic embeddings ---------------------------------------------------------------------------------


def simulated_appearance() -> ModuleType:
    folder = Path(os.environ.get("MTMC_SHARED") or Path(__file__).resolve().parents[4] / "shared")
    path = folder / "tools" / "simulated_appearance.py"
    if not path.is_file():
        pytest.skip(f"no simulated appearance at {path}; MTMC_SHARED names another folder")
    spec = importlib.util.spec_from_file_location("simulated_appearance", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_realistic_embeddings_are_grouped_well_and_rarely_renumbered() -> None:
    stays = [stay for stay in random_scene(11, 500, people=8) if stay.last <= 500]
    look = simulated_appearance().Appearance("base", 8, 4, np.random.default_rng(11))
    seen_at = [(tick, s.camera, n, s) for n, s in enumerate(stays, start=1) for tick in range(s.first, s.last + 1)]
    seen_at.sort(key=lambda item: item[:3])
    who, where = np.array([s.who for *_, s in seen_at]), np.array([s.camera for *_, s in seen_at])
    vectors = look.detections(who, where, np.array([tick for tick, *_ in seen_at]) / 10).astype(np.float16)
    index = {item[:3]: i for i, item in enumerate(seen_at)}
    seen = []
    for e in entries(stays):
        rows = [index[e.tick, e.camera, track] for track in e.batch.track_ids.tolist()]
        seen.append(
            CameraTick(e.camera, e.tick, e.time_ns, TrackBatch(**(vars(e.batch) | {"embeddings": vectors[rows]})))
        )
    run = Run(Association(overlapping(4), settings())).play(seen)
    check_book(run)
    pairs: dict[tuple[int, int], int] = {}
    for number, stay in enumerate(stays, start=1):
        gid = run.gid(number)
        if gid is not None:
            pairs[gid, stay.who] = pairs.get((gid, stay.who), 0) + stay.last - stay.first
    total = sum(pairs.values())
    purity = sum(max(n for (g, _), n in pairs.items() if g == gid) for gid in {g for g, _ in pairs}) / total
    complete = sum(max(n for (_, w), n in pairs.items() if w == one) for one in {w for _, w in pairs}) / total
    assert purity > 0.9
    assert complete > 0.85
    renumbered = sum(change.gid > 0 for _, change in run.changes) - len(run.ever)
    assert renumbered <= 0.01 * len(seen_at) / 10


def test_a_track_that_gets_its_gid_and_ends_in_one_entry_leaves_at_once() -> None:
    association = Association(street(1), settings(min_track_frames=1))
    run = Run(association)
    run.cycle(1, [CameraTick(0, 1, TICK_NS, batch([(1, Stay(1, 0, 1, 1))], ended=[1]))])
    assert run.kinds() == ["appeared", "left"]
    run.play([], upto=700)
    assert len(association.identities) == 0
    assert EMBEDDER in association.table.embedders


def test_an_identity_keeps_a_bounded_number_of_tracks_and_is_still_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object that comes and goes has ever more tracks, but its gid stays one, and memory is bounded."""
    stays = [Stay(1, camera % 2, 1 + 25 * camera, 15 + 25 * camera) for camera in range(40)]
    run = play(street(2, 0.1, 20), stays, upto=1000, mode="live", retention_s=1000)
    assert set(run.ever.values()) == {1}
    (identity,) = run.association.identities
    assert 4 <= len(identity.rows) <= 17
    assert len(run.association.table) <= 17


@pytest.mark.parametrize("retention_s", [5, 12, 20])
def test_tracks_that_expire_while_an_identity_has_too_many_are_forgotten_once(retention_s: float) -> None:
    stays = [Stay(1, camera % 2, 1 + 7 * camera, 5 + 7 * camera, hidden=2) for camera in range(60)]
    run = play(street(2, 0.1, 20), [*stays, Stay(2, 0, 1, 440)], upto=700, mode="live", retention_s=retention_s)
    assert len(set(run.ever.values())) == 2
    assert not len(run.association.table), "all have expired"
    for who in (3, 4):
        run.association.table.add(who, who, 0, 1, 0)
    assert len({run.association.table.find(who, who) for who in (3, 4)}) == 2, "no row is given twice"


def test_a_track_that_the_map_still_shows_is_kept_however_many_an_identity_has() -> None:
    stays = [Stay(1, camera % 2, 1 + 7 * camera, 5 + 7 * camera, hidden=2) for camera in range(40)]
    run = play(street(2, 0.1, 20), stays, upto=430, mode="live", linger_s=60, retention_s=600)
    assert len(run.gids) == 40
    assert set(run.gids.values()) == {1}
