"""Asks workers and the aggregator on behalf of a request, and says as an HTTP error why there is no answer."""

from __future__ import annotations

from werkzeug.exceptions import GatewayTimeout, ServiceUnavailable

from services.streamer.api.parts import ASKERS_MOST, ApiParts
from shared.questions import Fields, NotAnswered, NotTaken, ask

TAKE_S = 4.0
"""How long a process may take until it begins."""
REFUSALS = {504: "the process that has taken the request does not answer"}


def answer_of_worker(parts: ApiParts, kind: str, fields: Fields, answer_s: float, worker: str = "") -> dict[str, bytes]:
    """The answer of a worker, of `worker` if that is not empty.

    Raises:
        ServiceUnavailable: no worker runs, or all of them are busy.
        GatewayTimeout: the worker has died, or takes too long.
        Refused: there is no answer to this question.
        RedisError: Redis is unreachable.
    """
    if not parts.site.current().workers:
        raise ServiceUnavailable("no worker is running; start the site with `mtmc up`, or look at `mtmc status`")
    busy = "every worker is busy with requests of this kind; try again in some seconds"
    return _answer(parts, kind, fields, answer_s, worker, busy)


def answer_of_aggregator(parts: ApiParts, kind: str, fields: Fields, answer_s: float) -> dict[str, bytes]:
    """The answer of the aggregator; raises as `answer_of_worker`."""
    if not parts.site.current().aggregator:
        raise ServiceUnavailable("no aggregator is running; start the site with `mtmc up`, or look at `mtmc status`")
    busy = "the aggregator has not finished its start, or is busy; try again in some seconds"
    return _answer(parts, kind, fields, answer_s, "", busy)


def _answer(parts: ApiParts, kind: str, fields: Fields, answer_s: float, worker: str, busy: str) -> dict[str, bytes]:
    if not parts.askers.acquire(blocking=False):
        raise ServiceUnavailable(f"{ASKERS_MOST} requests wait for answers already; try again in some seconds")
    try:
        return ask(parts.frames, parts.keys, kind, fields, worker=worker, take_s=TAKE_S, answer_s=answer_s)
    except NotTaken as error:
        raise ServiceUnavailable(f"{error}: {busy}") from None
    except NotAnswered as error:
        raise GatewayTimeout(f"{error}; try again") from None
    finally:
        parts.askers.release()
