from __future__ import annotations

from pathlib import Path

import pytest

from shared.cache_folders import engine_cache, user_cache


def test_files_that_can_be_downloaded_again_are_in_the_users_cache() -> None:
    assert user_cache("weights", {"XDG_CACHE_HOME": "/c"}) == Path("/c/mtmc/weights")
    assert user_cache("models", {"XDG_CACHE_HOME": ""}) == Path("~/.cache/mtmc/models").expanduser()


def test_engines_are_where_the_environment_says() -> None:
    assert engine_cache({"MTMC_ENGINE_CACHE": "/engines", "XDG_CACHE_HOME": "/c"}) == Path("/engines")
    assert engine_cache({"MTMC_ENGINE_CACHE": "~/e"}) == Path("~/e").expanduser()
    assert engine_cache({"MTMC_ENGINE_CACHE": "", "XDG_CACHE_HOME": "/c"}) == Path("/c/mtmc/engines")


def test_a_user_without_a_home_caches_no_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", no_home)
    assert engine_cache({}) is None
