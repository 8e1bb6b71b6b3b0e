"""The name of every key in Redis, and nothing else.

The site's name is in braces, so that all keys of a site share a Redis Cluster slot and scripts and transactions over
them stay atomic. Types, writers and retention are listed in `docs/keys.md`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Keys:
    """Key names of one site."""

    site: str

    def _key(self, name: str) -> str:
        return f"mtmc:{{{self.site}}}:{name}"

    @property
    def everything(self) -> str:
        """Pattern for SCAN that matches exactly the keys of the site."""
        return self._key("*")

    # -- configuration, written by the CLI ---------------------------------------------------------
    @property
    def config(self) -> str:
        """String, JSON: the validated site with its revision, layout and masks."""
        return self._key("config")

    @property
    def revision(self) -> str:
        """String: the revision of `config`, to check for changes without reading all of it."""
        return self._key("config:revision")

    @property
    def cameras(self) -> str:
        """Hash camera → JSON settings."""
        return self._key("cameras")

    @property
    def no_cameras(self) -> str:
        """String, `1` while the site has no camera on purpose: then a missing `cameras` is not a loss."""
        return self._key("cameras:none")

    @property
    def floor_plan(self) -> str:
        """Hash: the picture under the map of the page, and where it lies on the ground."""
        return self._key("floor_plan")

    @property
    def replay(self) -> str:
        """String: which recording `mtmc replay` plays here; only sites of `mtmc replay` have this key."""
        return self._key("replay")

    # -- access to the page ------------------------------------------------------------------------
    @property
    def tokens(self) -> str:
        """Hash id → JSON: the tokens with which people and programs log in, hashed."""
        return self._key("tokens")

    @property
    def sessions(self) -> str:
        """Hash id → JSON: the sessions of browsers that are logged in, hashed."""
        return self._key("sessions")

    # -- clock and gate ----------------------------------------------------------------------------
    @property
    def tick(self) -> str:
        """String: the current tick."""
        return self._key("clock:tick")

    @property
    def ticks(self) -> str:
        """Stream `tick time_ns gate`, capped: wakes the processes that wait for a tick or for the gate."""
        return self._key("clock:ticks")

    @property
    def seen(self) -> str:
        """Sorted set, participating cameras only: camera → last handled tick."""
        return self._key("clock:seen")

    @property
    def marked_at(self) -> str:
        """Sorted set: camera → ms (Redis time) when it last marked a tick or had nothing to do."""
        return self._key("clock:marked_at")

    @property
    def skew(self) -> str:
        """Hash in plain text: `tick gate slowest fastest skew stalled skipped`, and the aggregator's `late`."""
        return self._key("clock:skew")

    @property
    def files_origin(self) -> str:
        """String: the tick at which the site's files started to play; set by the first claim of a file camera."""
        return self._key("clock:files_origin")

    # -- ownership ---------------------------------------------------------------------------------
    def lease(self, role: str) -> str:
        """String with expiry: `epoch:random` of the owner of a role (`clock`, `aggregator`, `camera:…`, `gpu:…`)."""
        return self._key(f"lease:{role}")

    @property
    def epochs(self) -> str:
        """Hash role → the last epoch that was assigned; `removed` → one above those of all removed cameras."""
        return self._key("epochs")

    @property
    def workers(self) -> str:
        """Sorted set: worker → ms (Redis time) of its last heartbeat."""
        return self._key("workers")

    def worker(self, worker: str) -> str:
        """Hash in plain text, expires: host, labels, device, GPU, cameras, rates of one worker."""
        return self._key(f"worker:{worker}")

    @property
    def services(self) -> str:
        """Sorted set, expires: service process → ms (Redis time) of its last heartbeat."""
        return self._key("services")

    def service(self, service: str) -> str:
        """Hash in plain text, expires: role, host, pid, address of the metrics, and why it is not ready."""
        return self._key(f"service:{service}")

    def camera(self, camera: str) -> str:
        """Hash in plain text, written by the camera's owner: state, owner, seq, rates, the last error."""
        return self._key(f"camera:{camera}")

    # -- tracks and identities ---------------------------------------------------------------------
    def tracks(self, camera: str) -> str:
        """Stream, trimmed by age and bytes: one entry per handled tick, even without tracks."""
        return self._key(f"tracks:{camera}")

    def gids(self, camera: str) -> str:
        """Hash track_id → gid; a field is deleted `linger_seconds` after its track ended."""
        return self._key(f"gids:{camera}")

    @property
    def assignments(self) -> str:
        """Stream `tick camera track_id gid`, capped: every published change of the global-ID map."""
        return self._key("assignments")

    @property
    def notified(self) -> str:
        """Hash MQTT or webhook → id of the last entry of `events` that it has handled."""
        return self._key("notified")

    def identity(self, gid: int) -> str:
        """Hash, expires: class, first and last seen, cameras of one identity."""
        return self._key(f"identity:{gid}")

    def sightings(self, gid: int) -> str:
        """Stream, expires: the journey of one identity."""
        return self._key(f"sightings:{gid}")

    @property
    def aliases(self) -> str:
        """Hash merged gid → surviving gid."""
        return self._key("aliases")

    @property
    def names(self) -> str:
        """Hash gid → the name that an operator gave to an identity."""
        return self._key("names")

    @property
    def events(self) -> str:
        """Stream, capped, numbered without gaps: `appeared handover merged split left named forgotten gap …`."""
        return self._key("events")

    @property
    def commands(self) -> str:
        """Stream, bounded: operators' commands that the aggregator has not carried out yet."""
        return self._key("commands")

    def command(self, command: str) -> str:
        """Hash, expires: what became of an operator's command."""
        return self._key(f"command:{command}")

    @property
    def erased(self) -> str:
        """Hash `CAMERA/TRACK_ID` → ms: tracks of forgotten identities whose crops are still to be deleted."""
        return self._key("erased")

    # -- recovery of the aggregator ----------------------------------------------------------------
    @property
    def cycles(self) -> str:
        """Stream: the tick of each cycle and, for each camera, the id of the last entry that it used."""
        return self._key("cycles")

    def state_chunk(self, generation: int, index: int) -> str:
        """String, expires: one piece of a checkpoint."""
        return self._key(f"state:{generation}:{index}")

    @property
    def state_current(self) -> str:
        """String, JSON: which generation is the valid checkpoint."""
        return self._key("state:current")

    @property
    def restored(self) -> str:
        """Hash: what the aggregator wrote again when Redis had lost everything."""
        return self._key("restored")

    @property
    def learned_layout(self) -> str:
        """String, JSON: which views overlap and how long steps take, as the aggregator has learned it."""
        return self._key("layout:learned")

    # -- pictures (may live in a second Redis without persistence) ----------------------------------
    def frames(self, camera: str) -> str:
        """Stream of two entries `tick time_ns width height jpeg`: the annotated picture."""
        return self._key(f"frames:{camera}")

    def crops(self, camera: str) -> str:
        """Hash, bounded, expires: best and newest crop of each track, small JPEGs."""
        return self._key(f"crops:{camera}")

    def questions(self, kind: str, worker: str = "") -> str:
        """Stream, bounded, expires: questions of a kind that nobody has taken yet; `worker`: those for it alone."""
        return self._key(f"questions:{kind}:{worker}" if worker else f"questions:{kind}")

    def answer(self, question: str) -> str:
        """Hash, expires: who has taken a question, and the answer."""
        return self._key(f"answer:{question}")

    @property
    def viewers(self) -> str:
        """Sorted set: camera → ms (Redis time) when it was last watched."""
        return self._key("viewers")

    @property
    def dead_letters(self) -> str:
        """Stream, capped: entries that could not be decoded, with the reason."""
        return self._key("dead_letters")
