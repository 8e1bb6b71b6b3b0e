"""Checkpoints of earlier versions keep their gids; those of later ones are refused."""

from pathlib import Path

import msgpack
import pytest

from association.core import Association
from services.aggregator.persistence import SCHEMA, UnknownState, pack, unpack
from tests.unit.association.scenes import settings, street

GOLDEN = Path(__file__).parents[2] / "golden" / "checkpoint_schema1.msgpack"
GIDS = {(0, 1): 1, (0, 2): 2, (2, 5): 3, (1, 3): 1, (1, 4): 2, (2, 6): 1}
"""(camera, track) → gid, as the version that wrote the golden file published them."""


@pytest.mark.parametrize("mode", ["live", "reference"])
def test_a_checkpoint_of_schema_1_keeps_every_gid(mode: str) -> None:
    checkpoint = unpack(GOLDEN.read_bytes(), "site")
    association = Association(street(3), settings(mode=mode))  # type: ignore[arg-type]
    association.restore(checkpoint.association, [0, 1, 2])
    rows = association.table.rows
    known = {(int(row["camera"]), int(row["track_id"])): int(row["gid"]) for row in rows[rows["used"]]}
    assert known == GIDS
    result = association.cycle(110, 110 * 10**8, [])
    assert not [change for change in result.assignments if change.gid]
    assert association.identities.next_gid == 4
    assert unpack(pack(checkpoint), "site") == checkpoint


def test_a_checkpoint_of_a_newer_version_is_refused_with_what_to_do() -> None:
    content = msgpack.unpackb(GOLDEN.read_bytes(), strict_map_key=False) | {"schema": SCHEMA + 1}
    with pytest.raises(
        UnknownState, match=r"site site in Redis has schema 3.*reads up to 2.*Run that version, or delete"
    ):
        unpack(msgpack.packb(content), "site")
