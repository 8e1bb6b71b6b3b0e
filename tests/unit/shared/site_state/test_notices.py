from __future__ import annotations

from shared.site_state.notices import notices

NOW_MS = 1_790_000_000_000
HOUR_MS = 3_600_000


def test_a_loss_and_a_step_of_the_last_day_are_told() -> None:
    restored = {"at_ms": str(NOW_MS - HOUR_MS), "identities": "12", "tracks": "5", "highest_gid": "40"}
    skew = {"step_ms": "-10004", "stepped_at_ms": str(NOW_MS - 2 * HOUR_MS)}
    assert notices(restored, skew, NOW_MS) == (
        "Redis came back empty at 2026-09-21 13:13:20 UTC: 12 identities and 5 tracks were written again; older "
        "history is lost",
        "somebody set Redis's clock by -10.0 s at 2026-09-21 12:13:20 UTC; ticks and tracks went on. Check time "
        "synchronisation on its host",
    )
    lost = {"at_ms": str(NOW_MS), "identities": "0", "tracks": "0", "highest_gid": "40"}
    assert notices(lost, {}, NOW_MS)[0].endswith("all identities are lost; new global ids begin above 40")


def test_older_ones_and_garbage_are_not() -> None:
    old = {"at_ms": str(NOW_MS - 25 * HOUR_MS), "identities": "1"}
    assert notices(old, {"step_ms": "x", "stepped_at_ms": "nan"}, NOW_MS) == ()
    assert notices({"at_ms": "9" * 18}, {}, NOW_MS) == ()
    assert notices({}, {}, NOW_MS) == ()
