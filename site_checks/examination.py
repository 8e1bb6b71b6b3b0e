"""Runs all checks of `mtmc doctor`, in order of dependency."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from redis.exceptions import NoPermissionError, RedisError

from launcher.address import RedisAddress, configured, find_redis, site_name
from launcher.site_access import SiteChoice
from launcher.site_file import as_written, load_site
from launcher.state_folder import state_folder
from shared.cache_folders import engine_cache
from shared.config import SiteConfig
from shared.errors import ConfigError, MtmcError
from shared.keys import Keys
from shared.redis_connection import Client, check
from shared.site import is_published, read_site
from shared.site_state.reading import StateReader
from shared.site_state.states import CameraState, SiteState
from site_checks.calibrations import examine_calibrations
from site_checks.detections import SeenPictures, examine_detections
from site_checks.files import FileChecks
from site_checks.finding import Finding, Severity, error, ok, warning
from site_checks.machine import examine_disk, examine_machine
from site_checks.models import examine_models
from site_checks.ports import examine_port
from site_checks.redis_server import examine_clocks, examine_redis
from site_checks.running_site import AREA as RUNNING
from site_checks.running_site import examine_running_site
from site_checks.sources import examine_sources
from vision.inference.models import Models
from vision.video.quiet_libraries import quiet_libraries

AREA = "site file"


class Examination:
    """All checks of one site. After an error it continues with the checks that are still possible."""

    def __init__(
        self,
        choice: SiteChoice,
        root: Path | None,
        environment: Mapping[str, str],
        cores: int,
        pictures: Path | None = None,
    ) -> None:
        """Prepare the checks.

        Args:
            choice: the site.
            root: the folder that relative paths in a configuration of `run_live_mtmc.py` start from.
            environment: variables of the process.
            cores: of this machine.
            pictures: the folder into which calibrations are drawn.
        """
        self._pictures = pictures
        self._choice, self._root, self._environment, self._cores = choice, root, environment, cores
        self._site: SiteConfig | None = None
        self._client: Client | None = None
        self._reader: StateReader | None = None
        self._is_foreign = self._is_redis_wrong = False

    def findings(self) -> Iterator[Finding]:
        """Yields each finding as soon as its check is done.

        Raises:
            MtmcError: the command line is inconsistent.
        """
        quiet_libraries()
        yield from examine_machine(self._cores)
        yield from self._site_file()
        where = self._where()
        with contextlib.ExitStack() as stack:
            self._client = self._connected(where, stack)
            for finding in examine_redis(where, self._client):
                self._is_redis_wrong |= finding.level is Severity.ERROR
                yield finding
            yield from self._with_redis(where, stack)

    def _site_file(self) -> Iterator[Finding]:
        path = self._choice.site_file
        if path is None:
            return
        try:
            self._site = load_site(path, self._environment, root=self._root)
        except ConfigError as problems:
            yield from (error(AREA, str(problem)) for problem in problems.problems)
            with contextlib.suppress(ConfigError):  # so that the other checks can run
                self._site = load_site(path, self._environment, root=self._root, check_files=False)
            return
        checks = FileChecks(path, self._site, self._environment)
        wrong = as_written(path, [*checks.models(), *checks.masks()], self._root)
        yield from (error(AREA, str(problem)) for problem in wrong)
        if not wrong:
            cameras = len(self._site.cameras)
            counted = f"{cameras} {'camera' if cameras == 1 else 'cameras'}"
            yield ok(AREA, f"{path}: site {self._site.site}, {counted}; masks and models can be read")

    def _where(self) -> RedisAddress | None:
        """The address of Redis; None if `mtmc up` would start an embedded one."""
        choice, environment = self._choice, self._environment
        named = configured(choice.redis_url, self._site, environment)
        if named is not None:
            return named
        found = find_redis(None, self._site, choice.site_file, choice.state, environment)
        return found if found.embedded or choice.site is not None else None

    def _connected(self, where: RedisAddress | None, stack: contextlib.ExitStack) -> Client | None:
        """A client of a usable server, else None; `examine_redis` reports what is wrong with the server."""
        if where is None:
            return None
        try:
            client = stack.enter_context(contextlib.closing(where.connect()))
            check(client, where.url)
        except (MtmcError, RedisError):
            return None
        return client

    def _with_redis(self, where: RedisAddress | None, stack: contextlib.ExitStack) -> Iterator[Finding]:
        client, state = self._client, None
        if client is not None and where is not None:
            try:
                name = site_name(self._site, self._choice.site) if self._named else None
                yield from examine_clocks(client, Keys(name or "none"))
                if name is not None:
                    yield from self._published(client, name, where, stack)
                    state = self._reader.read() if self._reader is not None else None
            except RedisError as problem:
                yield from self._failed(problem)
        yield from self._site_parts(state)
        if client is not None and self._site is not None and not self._is_foreign:
            try:
                yield from examine_running_site(client, Keys(self._site.site), state, self._reader)
            except RedisError as problem:
                yield from self._failed(problem)

    def _failed(self, problem: RedisError) -> Iterator[Finding]:
        if not (isinstance(problem, NoPermissionError) and self._is_redis_wrong):  # its cause is reported already
            yield error(RUNNING, f"Redis failed during the check ({problem}); see its log")

    @property
    def _named(self) -> bool:
        return self._site is not None or self._choice.site is not None

    def _published(
        self, client: Client, name: str, where: RedisAddress, stack: contextlib.ExitStack
    ) -> Iterator[Finding]:
        """Checks that the published site is that of the file; without a file, the published site is checked."""
        try:
            published = read_site(client, name)
        except ConfigError as problem:
            self._is_foreign = True
            yield error(RUNNING, str(problem))
            return
        if published is not None:
            frames = stack.enter_context(where.pictures(client))
            self._reader = StateReader(client, frames, published)
        if self._choice.site_file is None:
            if published is None:
                yield error(RUNNING, f"site {name} is not published; start it: mtmc up SITE.yaml")
            else:
                self._site = published.config
        elif published is not None and self._site is not None and not self._is_published(client, self._site):
            yield warning(
                RUNNING,
                f"the published revision {published.revision} differs from {self._choice.site_file}",
                f"publish it: mtmc config publish {self._choice.site_file}",
            )

    def _is_published(self, client: Client, site: SiteConfig) -> bool:
        try:
            return is_published(client, site)
        except (MtmcError, OSError):  # a file that it names cannot be read, which is already reported
            return True

    def _site_parts(self, state: SiteState | None) -> Iterator[Finding]:
        """The checks that need the site's settings."""
        site, choice = self._site, self._choice
        if site is None:
            return
        if choice.site_file is not None:
            yield from examine_disk(state_folder(choice.site_file, site.site, choice.state, self._environment))
        loaded: list[Models] = []
        yield from examine_models(site, self._cores, engine_cache(self._environment), loaded.append)
        running: dict[str, CameraState] = {}
        if state is not None and state.running:
            running = {camera.name: camera for camera in state.cameras}
        seen = SeenPictures()
        yield from examine_sources(site.cameras, site.clock.target_fps, running, seen.add)
        for models in loaded:
            yield from examine_detections(site, models, seen)
        if choice.site_file is not None:  # a published site has the calibrations, but maybe not their files
            yield from examine_calibrations(site, self._pictures)
        yield examine_port(site.streamer, site.site)
