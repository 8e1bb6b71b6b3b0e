from __future__ import annotations

import inspect

from shared.keys import Keys

ARGUMENTS = {
    "gid": 7,
    "generation": 3,
    "index": 1,
    "camera": "cam.1",
    "command": "c-1",
    "service": "clock-box-7-ab",
    "worker": "host-1-ab",
    "kind": "embed",
    "question": "0a1b",
    "role": "clock",
}


def all_names(keys: Keys) -> dict[str, str]:
    names: dict[str, str] = {}
    for name, member in inspect.getmembers(Keys):
        if name.startswith("_") or name == "site":
            continue
        if isinstance(member, property):
            names[name] = getattr(keys, name)
        else:
            parameters = list(inspect.signature(member).parameters)[1:]
            names[name] = member(keys, *(ARGUMENTS[parameter] for parameter in parameters))
    return names


def test_every_key_of_a_site_is_in_one_cluster_slot() -> None:
    assert {name[: len("mtmc:{yard}:")] for name in all_names(Keys("yard")).values()} == {"mtmc:{yard}:"}
    assert all(name.count("{") == 1 for name in all_names(Keys("yard")).values())


def test_no_two_kinds_of_key_share_a_name() -> None:
    names = all_names(Keys("yard"))
    assert len(set(names.values())) == len(names) > 20


def test_a_camera_called_like_a_part_of_a_key_collides_with_nothing() -> None:
    keys = Keys("yard")
    fixed = set(all_names(keys).values())
    for camera in ("tick", "clock", "current", "config", "workers"):
        assert not fixed & {keys.camera(camera), keys.tracks(camera), keys.gids(camera), keys.frames(camera)}


def test_the_state_of_a_camera_is_where_the_scripts_expect_it() -> None:
    keys = Keys("yard")
    assert keys.camera("north") == keys.tick.removesuffix("clock:tick") + "camera:north"
