"""How the site and its Redis are chosen."""

from __future__ import annotations

from pathlib import Path

import pytest

from launcher.address import DEFAULT_URL, RedisAddress, find_redis, site_name
from launcher.state_folder import LastStart, StateFolder
from shared.config import SiteConfig
from shared.errors import MtmcError


def site(**redis: str) -> SiteConfig:
    return SiteConfig.model_validate(
        {
            "site": "hall",
            "redis": redis,
            "detector": {"model": "d.onnx"},
            "embedder": {"model": "e.onnx"},
            "cameras": [{"name": "a", "source": "a.mp4"}],
        }
    )


def test_the_command_line_overrides_the_site_file(tmp_path: Path) -> None:
    configured = site(url="redis://file", password="p", frames_url="redis://frames")  # noqa: S106
    assert find_redis("redis://line", configured, tmp_path / "s.yaml", None, {}) == RedisAddress(
        "redis://line", "p", "redis://frames"
    )
    assert find_redis(None, configured, tmp_path / "s.yaml", None, {}).url == "redis://file"


def test_secrets_in_the_environment_override_those_of_the_site_file() -> None:
    environment = {"MTMC_REDIS_PASSWORD": "q", "MTMC_FRAMES_URL": "redis://g"}
    found = find_redis(None, site(url="redis://file", password="p"), None, None, environment)  # noqa: S106
    assert (found.password, found.frames_url) == ("q", "redis://g")


def test_the_redis_of_a_running_up_is_found_through_its_state_folder(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / ".mtmc" / "hall")
    state.prepare()
    state.save_last_start(LastStart(redis_port=7000))
    found = find_redis(None, site(), tmp_path / "s.yaml", None, {})
    assert (found.url, found.password, found.embedded) == ("redis://127.0.0.1:7000/0", None, True)
    password = state.prepare_redis_password()
    state.save_last_start(LastStart(redis_port=7000, pictures_port=7001))
    assert find_redis(None, site(), tmp_path / "s.yaml", None, {"MTMC_REDIS_PASSWORD": "another"}) == RedisAddress(
        "redis://127.0.0.1:7000/0", password, "redis://127.0.0.1:7001/0", embedded=True
    )


def test_the_password_of_a_redis_for_pictures_is_not_mixed_up_with_that_of_the_embedded_one(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / ".mtmc" / "hall")
    state.prepare()
    state.save_last_start(LastStart(redis_port=7000))
    password = state.prepare_redis_password()
    pictures = site(frames_url="redis://frames", password="p")  # noqa: S106
    found = find_redis(None, pictures, tmp_path / "s.yaml", None, {})
    assert found == RedisAddress(f"redis://:{password}@127.0.0.1:7000/0", "p", "redis://frames", embedded=True)


def test_the_default_is_the_standard_port(tmp_path: Path) -> None:
    assert find_redis(None, site(), tmp_path / "s.yaml", None, {}).url == DEFAULT_URL


def test_an_address_hides_its_secrets_and_is_passed_in_the_environment() -> None:
    address = RedisAddress("redis://:secret@box", "secret")
    assert "secret" not in repr(address)
    assert address.environment() == {"MTMC_REDIS_URL": "redis://:secret@box", "MTMC_REDIS_PASSWORD": "secret"}


def test_a_site_needs_one_name() -> None:
    assert site_name(None, "hall") == site_name(site(), None) == site_name(site(), "hall") == "hall"
    with pytest.raises(MtmcError, match="no site given"):
        site_name(None, None)
    with pytest.raises(MtmcError, match=r"'hall', but --site .* is 'yard'"):
        site_name(site(), "yard")
