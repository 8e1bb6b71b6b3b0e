from __future__ import annotations

from shared.config import SiteConfig
from shared.stream_cap import LEAST_ENTRIES, STREAM_BYTES, StreamCap


def site(replay_seconds: float = 60, fps: float = 10) -> SiteConfig:
    return SiteConfig.model_validate(
        {
            "site": "yard",
            "clock": {"target_fps": fps},
            "detector": {"model": "/d.onnx"},
            "embedder": {"model": "/e.onnx"},
            "association": {"replay_seconds": replay_seconds},
            "cameras": [{"name": "a", "source": "rtsp://a/"}],
        }
    )


def test_replay_seconds_decide_for_ordinary_entries() -> None:
    cap = StreamCap(site())
    assert {cap.entries(500) for _ in range(50)} == {600}


def test_a_crowd_is_capped_in_bytes() -> None:
    cap = StreamCap(site())
    assert cap.entries(1_000_000) == 67
    assert STREAM_BYTES + 1_000_000 >= 67 * 1_000_000


def test_the_cap_follows_a_crowd_that_comes_later() -> None:
    cap = StreamCap(site())
    for _ in range(100):
        cap.entries(500)
    for _ in range(500):
        longest = cap.entries(1_000_000)
    assert longest * 1_000_000 <= 1.01 * STREAM_BYTES


def test_a_few_entries_are_kept_even_if_they_are_large() -> None:
    assert StreamCap(site()).entries(STREAM_BYTES) == LEAST_ENTRIES
    assert StreamCap(site(replay_seconds=0.1)).entries(10) == LEAST_ENTRIES
