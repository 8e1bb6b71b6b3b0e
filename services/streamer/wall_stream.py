"""The response body for one live page: the messages of `/wall.stream`.

It is a generator that runs in the event loop of the HTTP server: it waits only by `Arrivals`, and does not call Redis.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from services.streamer.arrivals import WAIT_S, Arrivals
from services.streamer.metrics import StreamerMetrics
from services.streamer.pictures import Pictures
from services.streamer.viewing import Client
from services.streamer.wall_format import wall_message
from services.streamer.wall_pictures import WallPictures
from services.streamer.wall_state import WallState
from shared.watching import Watching


def wall_messages(
    pictures: Pictures,
    page: WallPictures,
    watching: Watching,
    metrics: StreamerMetrics,
    camera_names: Callable[[], tuple[str, ...]],
    state: WallState,
    arrivals: Arrivals,
    client: Client,
) -> Iterator[bytes]:
    """New pictures of the cameras that the page shows, and the site's state, over one connection.

    The state is sent again and again even if nothing changes, so that each side notices when the other is gone.
    """
    seen, turn = -1, 0
    watching.touch(page.shows(camera_names()))
    while not pictures.closed:
        names = page.shows(camera_names())
        if (latest := state.latest()) and latest.number != seen:
            seen = latest.number
            watching.touch(names)
            yield latest.message
            client.wait_until_sent()
        sent, due_in_s = False, WAIT_S
        # Round robin, so that every camera gets its turn on a slow connection.
        for camera in names[turn % len(names) :] + names[: turn % len(names)] if names else ():
            if (latest := state.latest()) and latest.number != seen:
                sent = True
                break
            turn += 1
            began_at = time.monotonic()
            if (delay_s := page.delay_s(camera, began_at)) > 0:
                due_in_s = min(due_in_s, delay_s)
                continue
            shown = page.next(camera)
            if shown is None:
                continue
            yield shown.wall_message
            metrics.frames_sent.labels(camera).inc()
            sent = True
            client.wait_until_sent()
            skipped, has_changed = page.sent(camera, shown, began_at, time.monotonic(), len(names))
            if skipped:
                metrics.frames_skipped.labels(camera, "slow_viewer").inc(skipped)
            if has_changed:
                yield wall_message({"type": "width", "width": page.width})
        if sent:
            continue
        if due_in_s < WAIT_S:
            arrivals.sleep(due_in_s)
        elif arrivals.wait(page.topic):
            continue
        if client.has_left():
            return
