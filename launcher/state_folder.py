"""The state folder of `mtmc up`: data, logs, and the addresses that later commands need."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from shared.errors import MtmcError
from shared.private_file import write_private

_LONGEST_SOCKET_PATH = 80
"""sun_path holds 108 bytes, 104 on macOS; supervisord first binds a name about 10 bytes longer, then renames it."""

_LEAST_FREE_BYTES = 16 * 2**20
"""With less, Redis and the logs (5 MB and two backups of each) would soon fill the disk."""
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class AlreadyRunning(MtmcError):
    """Another `mtmc up` is using the state folder."""


@dataclass(frozen=True)
class LastStart:
    """The addresses of the last `mtmc up`, for later commands."""

    redis_port: int | None = None
    """Port of the embedded Redis; None if there was none."""
    supervisor_socket: str | None = None
    pictures_port: int | None = None
    """Port of the embedded Redis for pictures; None if there was none."""


@dataclass(frozen=True)
class StateFolder:
    """One state folder, used by one `mtmc up` at a time."""

    path: Path

    @property
    def logs(self) -> Path:
        """The folder with one log file per process."""
        return self.path / "logs"

    @property
    def redis(self) -> Path:
        """The data of the embedded Redis."""
        return self.path / "redis"

    @property
    def pictures(self) -> Path:
        """The settings of the embedded Redis for pictures, which stores no data on disk."""
        return self.path / "redis-pictures"

    @property
    def redis_password_file(self) -> Path:
        """The password of the embedded Redis servers, readable by the owner only."""
        return self.path / "redis-password"

    @property
    def supervisor_settings(self) -> Path:
        """The generated supervisord.conf."""
        return self.path / "supervisord.conf"

    @property
    def supervisor_socket(self) -> Path:
        """Path of the socket: in the state folder, or in a private temporary folder if that path is too long."""
        near = self.path / "supervisor.sock"
        if len(os.fsencode(near)) <= _LONGEST_SOCKET_PATH:
            return near
        base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
        if len(os.fsencode(base)) > _LONGEST_SOCKET_PATH - 40:
            base = Path("/tmp")  # noqa: S108 (`prepare` checks that the folder below belongs to this user)
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:12]
        return base / f"mtmc-{os.getuid()}-{digest}" / "supervisor.sock"

    def log(self, name: str) -> Path:
        """The log file of one process."""
        return self.logs / f"{name}.log"

    def prepare(self) -> None:
        """Creates the folders.

        Raises:
            MtmcError: a folder cannot be created or written, or the disk is full.
        """
        try:
            for folder in (self.path, self.logs, self.supervisor_socket.parent):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except FileExistsError as error:
            raise MtmcError(f"{error.filename}: is a file; give a folder with --state") from None
        except OSError as error:
            raise MtmcError(
                f"{error.filename}: cannot be created ({error.strerror}); give another folder with --state"
            ) from None
        owner = self.supervisor_socket.parent.stat().st_uid
        if owner != os.getuid():
            raise MtmcError(
                f"{self.supervisor_socket.parent} belongs to another user; give a folder with a shorter path with "
                "--state"
            )
        self.check_room(self.path)

    def check_room(self, folder: Path) -> None:
        """Checks that `folder`, an existing folder (the state folder or a parent), is writable and has free space.

        Raises:
            MtmcError: it is not writable, or has too little free space.
        """
        if not os.access(folder, os.W_OK | os.X_OK):
            raise MtmcError(f"{folder}: this user may not write there; give another folder with --state")
        free = shutil.disk_usage(folder).free
        if free < _LEAST_FREE_BYTES:
            raise MtmcError(self._no_space(f"only {free / 2**20:.1f} MiB free"))

    def _no_space(self, reason: str) -> str:
        return (
            f"not enough disk space for the state folder {self.path} ({reason}); free some, or give another folder "
            "with --state"
        )

    @contextlib.contextmanager
    def reporting_full_disk(self) -> Iterator[None]:
        """Turns errors of a full disk into a message for the user. Wraps all code that writes to the folder.

        Raises:
            MtmcError: the disk is full or read-only, or the quota is used up.
        """
        try:
            yield
        except OSError as error:
            if error.errno not in _NO_SPACE:
                raise
            raise MtmcError(self._no_space(os.strerror(error.errno))) from None

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Locks the folder for this process; the system releases the lock also when the process is killed.

        Raises:
            AlreadyRunning: another process holds the lock.
        """
        with (self.path / "lock").open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                raise AlreadyRunning(
                    f"'mtmc up' is already running with the state folder {self.path} (pid {holder}); stop it, or give "
                    "another folder with --state"
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def redis_password(self) -> str | None:
        """The password of the embedded Redis servers; None if an earlier version started them, without one.

        Raises:
            MtmcError: this user may not read it.
        """
        try:
            return self.redis_password_file.read_text(encoding="ascii").strip() or None
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not a password"
            raise MtmcError(
                f"cannot read the password of the site's Redis in {self.redis_password_file} ({reason}); run the "
                "command as the user who runs `mtmc up`"
            ) from None

    def prepare_redis_password(self) -> str:
        """The password of the embedded Redis servers; the first call in a folder makes one.

        Raises:
            MtmcError: this user may not read it.
            OSError: it cannot be written.
        """
        password = self.redis_password() or secrets.token_urlsafe()
        write_private(self.redis_password_file, password)
        return password

    def save_last_start(self, start: LastStart) -> None:
        """Writes the file atomically."""
        new = self.path / "facts.json.new"
        new.write_text(json.dumps(asdict(start)), encoding="utf-8")
        new.replace(self.path / "facts.json")

    def last_start(self) -> LastStart:
        """What the last start saved; empty if there was none or the file cannot be read."""
        try:
            content = json.loads((self.path / "facts.json").read_text(encoding="utf-8"))
            port, path = content["redis_port"], content["supervisor_socket"]
            pictures = content.get("pictures_port")
        except (OSError, ValueError, KeyError, TypeError):
            return LastStart()
        return LastStart(
            port if isinstance(port, int) else None,
            path if isinstance(path, str) else None,
            pictures if isinstance(pictures, int) else None,
        )


def state_folder(site_file: Path, site: str, chosen: Path | None, environment: Mapping[str, str]) -> StateFolder:
    """`chosen`, else `.mtmc/{site}` beside the site file, or a folder in XDG_STATE_HOME if that is not writable."""
    if chosen is not None:
        return StateFolder(chosen.expanduser().resolve())
    beside = site_file.resolve().parent / ".mtmc" / site
    nearest = next(folder for folder in beside.parents if folder.is_dir()) if not beside.is_dir() else beside
    if os.access(nearest, os.W_OK | os.X_OK):
        return StateFolder(beside)
    home = environment.get("XDG_STATE_HOME") or "~/.local/state"
    digest = hashlib.sha256(os.fsencode(site_file.resolve())).hexdigest()[:8]
    return StateFolder(Path(home).expanduser() / "mtmc" / f"{site}-{digest}")
