"""What the clock looks at every second."""

from __future__ import annotations

import time

from shared.key_repair import KeyRepair
from shared.keys import Keys
from shared.redis_connection import Client

KEYS = Keys("hall")


def test_thousands_of_names_of_another_program_are_not_looked_at_one_by_one(redis_client: Client) -> None:
    """The clock would publish no tick meanwhile."""
    for key in (KEYS.workers, KEYS.services):
        redis_client.zadd(key, {f"x{number}": time.time() * 1000 for number in range(5_000)})
        redis_client.zadd(key, {b"x" * 2**20: time.time() * 1000})
    redis_client.config_resetstat()
    assert KeyRepair(redis_client, KEYS).look() == []
    assert redis_client.info("commandstats")["cmdstat_type"]["calls"] < 2_500


def test_the_key_of_a_listed_worker_is_repaired(redis_client: Client) -> None:
    redis_client.zadd(KEYS.workers, {"w": time.time() * 1000})
    redis_client.set(KEYS.worker("w"), "garbage")
    assert KeyRepair(redis_client, KEYS).look() == [KEYS.worker("w")]
    assert not redis_client.exists(KEYS.worker("w"))
