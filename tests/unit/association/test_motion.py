"""Standing and moving at common moments."""

import numpy as np
import pytest

from association.motion import SLOT_NS, SLOTS, MotionHistory
from association.track_table import TrackTable


class Film:
    """Plays boxes into a history; each track is a function from seconds to the x of its box."""

    def __init__(self, fps: int = 5) -> None:
        self.table, self.fps, self.tick = TrackTable(), fps, 0
        self.motion = MotionHistory(self.table)
        self.rows: dict[tuple[int, int], int] = {}

    def play(self, seconds: float, tracks: dict[tuple[int, int], object]) -> None:
        """`tracks`: (camera, track id) → x as a function of seconds, or None where it is not seen."""
        for _ in range(round(seconds * self.fps)):
            self.tick += 1
            now_s = self.tick / self.fps
            for camera in sorted({camera for camera, _ in tracks}):
                seen = [(key, path(now_s)) for key, path in tracks.items() if key[0] == camera]  # type: ignore[operator]
                seen = [(key, x) for key, x in seen if x is not None]
                rows = np.array([self._row(*key) for key, _ in seen], np.intp)
                boxes = np.array([[x, 300, x + 80, 420] for _, x in seen], np.float32).reshape(-1, 4)
                self.motion.observe(camera, rows, round(now_s * 1e9), boxes, 1280, 720)

    def _row(self, camera: int, track_id: int) -> int:
        if (camera, track_id) not in self.rows:
            self.rows[camera, track_id] = self.table.add(camera, track_id, 0, self.tick, 0)
        return self.rows[camera, track_id]

    def ratio(self, one: tuple[int, int], other: tuple[int, int]) -> float:
        return float(self.motion.ratios(np.array([self.rows[one]]), np.array([self.rows[other]]))[0, 0])


def stands(_: float) -> float:
    return 500.0


def moves(seconds: float) -> float:
    return 100.0 + 60 * (seconds % 15)


def stops_and_goes(seconds: float) -> float:
    """Stands and moves for four seconds each."""
    phase, rounds = seconds % 8, int(seconds // 8)
    return 100.0 + rounds * 240 + 60 * max(0.0, phase - 4)


@pytest.mark.parametrize("fps", [2, 5, 10, 25])
def test_one_object_cannot_stand_and_move_at_once(fps: int) -> None:
    film = Film(fps)
    film.play(10, {(0, 1): stands, (1, 2): moves})
    assert film.ratio((0, 1), (1, 2)) < -3


@pytest.mark.parametrize("fps", [5, 10])
def test_tracks_that_stop_and_start_together_are_probably_one_object(fps: int) -> None:
    film = Film(fps)
    film.play(30, {(0, 1): stops_and_goes, (1, 2): lambda seconds: 40 + stops_and_goes(seconds)})
    assert film.ratio((0, 1), (1, 2)) > 2


def test_tracks_that_only_stand_or_were_never_seen_together_say_nothing() -> None:
    film = Film()
    film.play(10, {(0, 1): stands, (1, 2): stands})
    film.play(10, {(0, 3): stops_and_goes})
    film.play(10, {(1, 4): stops_and_goes})
    assert abs(film.ratio((0, 1), (1, 2))) < 0.5
    assert film.ratio((0, 3), (1, 4)) == 0


def test_moments_expire_and_rows_can_be_used_again() -> None:
    film = Film()
    film.play(10, {(0, 1): stands, (1, 2): moves})
    assert film.motion.is_recent(np.array([film.rows[0, 1]])).all()
    film.play(SLOTS * SLOT_NS / 1e9 + 1, {(0, 9): stands})
    assert film.ratio((0, 1), (1, 2)) == 0
    assert not film.motion.is_recent(np.array([film.rows[0, 1]])).any()
    film.motion.forget(film.rows[0, 9])
    assert np.isnan(film.motion.feet(np.array([film.rows[0, 9]]), range(SLOTS))).all()


def test_a_box_that_the_border_cuts_neither_stands_nor_has_a_foot() -> None:
    film = Film()
    film.play(10, {(0, 1): lambda _: 0.0, (1, 2): moves})
    assert np.isnan(film.motion.feet(np.array([film.rows[0, 1]]), range(SLOTS))).all()
    assert film.ratio((0, 1), (1, 2)) == 0


def test_a_restored_history_is_the_same() -> None:
    film = Film()
    film.play(20, {(0, 1): stops_and_goes, (1, 2): moves, (1, 3): stands})
    again = MotionHistory(film.table)
    again.restore(film.motion.to_dict(), [0, 1])
    rows = np.array(sorted(film.rows.values()))
    assert again.to_dict() == film.motion.to_dict()
    assert np.array_equal(again.ratios(rows, rows), film.motion.ratios(rows, rows))


def test_a_track_that_starts_within_a_slot_is_not_known_yet() -> None:
    film = Film()
    film.motion.recent()
    film.play(0.6, {(0, 1): stands})
    film.motion.recent()
    row = film.table.add(0, 7, 0, film.tick, 0)
    late = film.table.add(0, 8, 0, film.tick, 0) + 10_000
    assert film.motion.index(np.array([film.rows[0, 1], row, late])).tolist() == [0, -1, -1]
    assert np.isnan(film.motion.feet(np.array([row]), range(SLOTS))).all()


def test_a_box_is_recorded_as_it_was_at_the_start_of_the_slot() -> None:
    film = Film(fps=5)
    film.play(2, {(0, 1): lambda seconds: 100 + 100 * seconds})
    slots = [1, 2, 3]
    feet = film.motion.feet(np.array([film.rows[0, 1]]), [film.motion.now - slot for slot in slots])[0]
    assert feet[:, 0] == pytest.approx([100 + 100 * slot * 0.5 + 40 for slot in slots], abs=0.1)
