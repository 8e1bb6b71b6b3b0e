"""The state folder of `mtmc up`."""

from __future__ import annotations

from pathlib import Path

import pytest

from launcher.state_folder import AlreadyRunning, LastStart, StateFolder, state_folder
from shared.errors import MtmcError


def test_it_is_beside_the_site_file(tmp_path: Path) -> None:
    assert state_folder(tmp_path / "site.yaml", "hall", None, {}).path == tmp_path / ".mtmc" / "hall"


def test_a_chosen_folder_is_used(tmp_path: Path) -> None:
    assert state_folder(tmp_path / "site.yaml", "hall", tmp_path / "x", {}).path == tmp_path / "x"


def test_it_is_in_the_state_home_if_the_folder_of_the_site_file_is_not_writable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write everywhere
    one = state_folder(tmp_path / "one" / "site.yaml", "hall", None, {"XDG_STATE_HOME": str(tmp_path / "home")})
    other = state_folder(tmp_path / "other" / "site.yaml", "hall", None, {"XDG_STATE_HOME": str(tmp_path / "home")})
    assert one.path.parent == tmp_path / "home" / "mtmc"
    assert one.path.name.startswith("hall-")
    assert one.path != other.path


def test_only_one_process_at_a_time_can_lock_it(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    with state.lock(), pytest.raises(AlreadyRunning, match=r"already running .* \(pid \d+\); stop it"), state.lock():
        pass
    with state.lock():
        pass


def test_the_last_start_is_read_back_and_a_broken_file_counts_as_none(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    assert state.last_start() == LastStart()
    state.save_last_start(LastStart(7000, "/x/supervisor.sock"))
    assert state.last_start() == LastStart(7000, "/x/supervisor.sock")
    for broken in ("", "[]", "{}", '{"redis_port": "x", "supervisor_socket": 1}'):
        (tmp_path / "facts.json").write_text(broken)
        assert state.last_start() == LastStart()


def test_the_socket_has_a_short_path_even_in_a_deep_folder(tmp_path: Path) -> None:
    assert StateFolder(Path("/srv/site")).supervisor_socket == Path("/srv/site/supervisor.sock")
    deep = StateFolder(tmp_path / ("x" * 100) / ("y" * 100))
    assert len(str(deep.supervisor_socket)) < 100
    assert deep.supervisor_socket != StateFolder(tmp_path / ("x" * 100) / "z").supervisor_socket
    deep.prepare()
    assert deep.supervisor_socket.parent.stat().st_mode & 0o077 == 0
    deep.supervisor_socket.parent.rmdir()


def test_a_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MtmcError, match="cannot be created"):
        StateFolder(tmp_path / "file" / "state").prepare()


def test_the_password_of_redis_is_made_once_and_only_the_owner_can_read_it(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    assert state.redis_password() is None
    password = state.prepare_redis_password()
    assert len(password) > 40
    state.redis_password_file.chmod(0o644)
    assert state.prepare_redis_password() == state.redis_password() == password
    assert state.redis_password_file.stat().st_mode & 0o777 == 0o600


def test_a_password_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    state.redis_password_file.mkdir()
    with pytest.raises(MtmcError, match=r"cannot read the password .*redis-password \(Is a directory\); run"):
        state.redis_password()
