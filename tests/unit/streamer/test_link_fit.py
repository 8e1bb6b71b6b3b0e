from __future__ import annotations

from services.streamer.link_fit import ROUND_S, LinkFit
from services.streamer.scaling import WIDTHS

BYTES_AT_1280 = 100_000
BUFFER_S = 0.0


class Page:
    """A page of `cameras` cameras of 1280 pixels and 10 Hz behind a link."""

    def __init__(self, fit: LinkFit, cameras: int = 4) -> None:
        self.fit, self.cameras, self.now = fit, cameras, 0.0
        self.changes: list[tuple[float, int | None]] = []

    def run(self, bytes_per_s: float, seconds: float) -> None:
        """Sends as many pictures as the link takes, ten times a second at most."""
        end = self.now + seconds
        while self.now < end:
            began = self.now
            for _ in range(self.cameras):
                width = min(1280, self.fit.width or 1280)
                took_s = BYTES_AT_1280 * (width / 1280) ** 2 / bytes_per_s
                self.now += took_s
                # What is sent faster than pictures arrive fits in the buffers, so nothing waits for it.
                waited_s = took_s if took_s * self.cameras > 0.1 else 0.0
                if self.fit.sent(waited_s, width, self.cameras, self.now):
                    self.changes.append((round(self.now, 1), self.fit.width))
            self.now = max(self.now, began + 0.1)


def test_a_fast_link_changes_nothing() -> None:
    page = Page(LinkFit(640, 0.0))
    page.run(10_000_000, 120)
    assert page.changes == []
    assert page.fit.width == 640


def test_a_slow_link_gets_smaller_pictures_within_seconds_and_is_then_seldom_tried() -> None:
    page = Page(LinkFit(1280, 0.0))
    page.run(125_000, 5)
    assert page.fit.width == 320
    assert page.changes[0][0] < 2.5
    page.run(125_000, 300)
    small = page.cameras * BYTES_AT_1280 * (page.fit.width / 1280) ** 2 / 125_000
    assert small <= ROUND_S
    assert len(page.changes) <= 14, "trying again and again costs pictures"


def test_it_returns_to_what_was_asked_for_once_the_link_is_fast() -> None:
    for wanted in (1280, None):
        page = Page(LinkFit(wanted, 0.0))
        page.run(60_000, 20)
        assert page.fit.width in (160, 240)
        page.run(10_000_000, 90)
        assert page.fit.width == wanted or page.fit.width >= 1280


def test_it_begins_where_the_page_left_off() -> None:
    assert LinkFit(1280, 0.0, 320).width == 320
    assert LinkFit(None, 0.0, 320).width == 320
    assert LinkFit(320, 0.0, 1280).width == 320


def test_the_smallest_width_stays_on_the_slowest_link() -> None:
    page = Page(LinkFit(640, 0.0), cameras=16)
    page.run(10_000, 120)
    assert page.fit.width == WIDTHS[0]


def test_one_delay_is_not_a_slow_link() -> None:
    fit = LinkFit(640, 0.0)
    for number in range(100):
        assert not fit.sent(0.25 if number == 50 else 0.0, 640, 1, number / 10)
