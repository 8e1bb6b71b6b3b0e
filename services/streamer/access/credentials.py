"""Checks tokens and sessions against Redis, with a copy that is a second old at most."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from redis.exceptions import RedisError, ResponseError

from services.streamer.access.visitor import Proof, Visitor
from shared.keys import Keys
from shared.lenient_reads import is_wrong_type
from shared.redis_connection import Client
from shared.tokens import Credential, Digest, TimeMs, Token, TokenId

MAX_AGE_S = 1.0
"""After this long a revoked token and a session that was ended are refused."""
SESSION_S = 7 * 24 * 3600
MAX_SESSIONS = 1000
_ERROR_S = 0.4


class Session(BaseModel):
    """What Redis has of a session: it ends with its token."""

    model_config = ConfigDict(frozen=True, strict=True)

    digest: Digest = Field(repr=False)
    token_id: TokenId
    token_digest: Digest = Field(repr=False)
    expires_ms: TimeMs

    @classmethod
    def parse(cls, text: bytes | None) -> Session | None:
        """The session of one field of the hash `sessions`; None if it is missing or cannot be read."""
        try:
            return None if text is None else cls.model_validate_json(text)
        except ValidationError:
            return None


@dataclass(frozen=True)
class _Copy:
    """Both hashes as they were at one time."""

    tokens: dict[bytes, bytes]
    sessions: dict[bytes, bytes]
    now_ms: int
    """Redis time."""
    read_at_s: float
    """Monotonic."""

    def time_ms(self) -> int:
        """Redis time now."""
        return self.now_ms + int((time.monotonic() - self.read_at_s) * 1000)


class Credentials:
    """The tokens and sessions of a site. Safe to use from any thread; only one at a time reads the hashes.

    While Redis does not answer, the last copy remains valid: nobody can have revoked a token then. A token or
    session that is not in the copy is looked up, so that a new one is valid at once at every streamer.
    """

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client, self._keys = client, keys
        self._copy: _Copy | None = None
        self._asked_at_s = -1e9
        self._error: RedisError | None = None
        self._lock = threading.Lock()

    def by_token(self, text: str) -> Visitor | None:
        """Whose token `text` is; None if it is none that is valid.

        Raises:
            RedisError: Redis does not answer, and the copy does not know this token.
        """
        credential = Credential.parse(text)
        if credential is None:
            return None
        token = self._token(credential.id)
        if token is None or not credential.matches(token.digest):
            return None
        return _visitor(token, Proof(credential.id, token.digest))

    def by_session(self, text: str) -> Visitor | None:
        """Whose session it is that `text` is the key of; None if it is none that is valid.

        Raises:
            RedisError: Redis does not answer, and the copy does not know this session.
        """
        credential = Credential.parse(text, "session")
        if credential is None:
            return None
        session = self._session(credential.id)
        if session is None or not credential.matches(session.digest):
            return None
        token = self._token(session.token_id)
        if token is None or token.digest != session.token_digest:
            return None
        proof = Proof(session.token_id, token.digest, credential.id, session.digest)
        return _visitor(token, proof)

    def still_valid(self, proof: Proof) -> bool:
        """Whether neither the token nor the session had ended when `refresh` read them; never waits for Redis."""
        copy = self._copy
        if copy is None:
            return True
        token = Token.parse(copy.tokens.get(proof.token_id.encode()))
        if token is None or token.digest != proof.token_digest or token.is_expired(copy.time_ms()):
            return False
        if proof.session_id is None:
            return True
        session = Session.parse(copy.sessions.get(proof.session_id.encode()))
        return session is not None and session.digest == proof.session_digest and session.expires_ms > copy.time_ms()

    def refresh(self) -> None:
        """Reads tokens and sessions again if the copy is too old; without Redis, the copy stays."""
        with contextlib.suppress(RedisError):
            self._current()

    def has_tokens(self) -> bool:
        """Whether anybody can log in.

        Raises:
            RedisError: Redis does not answer.
        """
        copy = self._current()
        tokens = map(Token.parse, copy.tokens.values())
        return any(token is not None and not token.is_expired(copy.time_ms()) for token in tokens)

    def start_session(self, visitor: Visitor) -> tuple[Credential, int]:
        """Starts a session for somebody with a valid token; returns its key, and for how many seconds it is valid.

        Sessions that have ended are deleted, and of too many the ones that would end first.

        Raises:
            RedisError: Redis does not answer or refuses.
        """
        assert visitor.proof is not None
        copy = self._read()
        token = Token.parse(copy.tokens.get(visitor.proof.token_id.encode()))
        expires_ms = copy.now_ms + SESSION_S * 1000
        if token is not None and token.expires_ms is not None:
            expires_ms = min(expires_ms, token.expires_ms)
        self._delete_sessions(copy)
        key = Credential.new("session")
        session = Session(
            digest=key.digest,
            token_id=visitor.proof.token_id,
            token_digest=visitor.proof.token_digest,
            expires_ms=expires_ms,
        )
        self._client.hset(self._keys.sessions, key.id, session.model_dump_json())
        return key, max(0, (expires_ms - copy.now_ms) // 1000)

    def end_session(self, proof: Proof) -> None:
        """Ends the session of a browser, in every tab and at every streamer.

        Raises:
            RedisError: Redis does not answer or refuses.
        """
        if proof.session_id is not None:
            self._client.hdel(self._keys.sessions, proof.session_id)
            self._asked_at_s = -1e9

    def _delete_sessions(self, copy: _Copy) -> None:
        kept: list[tuple[int, bytes]] = []
        useless: list[bytes] = []
        for name, text in copy.sessions.items():
            session = Session.parse(text)
            token = None if session is None else Token.parse(copy.tokens.get(session.token_id.encode()))
            if session is None or session.expires_ms <= copy.now_ms or token is None:
                useless.append(name)
            else:
                kept.append((session.expires_ms, name))
        useless += [name for _, name in sorted(kept)[: max(0, len(kept) - MAX_SESSIONS + 1)]]
        if useless:
            self._client.hdel(self._keys.sessions, *useless)

    def _token(self, name: str) -> Token | None:
        copy = self._current()
        token = Token.parse(self._find(copy.tokens, self._keys.tokens, name))
        return None if token is None or token.is_expired(copy.time_ms()) else token

    def _session(self, name: str) -> Session | None:
        copy = self._current()
        session = Session.parse(self._find(copy.sessions, self._keys.sessions, name))
        return None if session is None or session.expires_ms <= copy.time_ms() else session

    def _find(self, copied: dict[bytes, bytes], key: str, name: str) -> bytes | None:
        """A field, from the copy or else from Redis; the copy then has it, too."""
        found = copied.get(name.encode())
        if found is not None:
            return found
        try:
            found = self._client.hget(key, name)
        except ResponseError as error:
            if not is_wrong_type(error):
                raise
        if found is not None:
            copied[name.encode()] = found
        return found

    def _current(self) -> _Copy:
        copy = self._copy
        if copy is not None and time.monotonic() - self._asked_at_s < MAX_AGE_S:
            return copy
        if not self._lock.acquire(blocking=copy is None):
            assert copy is not None
            return copy  # another thread reads it now
        try:
            if self._copy is None and self._error is not None and time.monotonic() - self._asked_at_s < _ERROR_S:
                raise self._error
            try:
                self._copy, self._error = self._read(), None
            except RedisError as error:
                self._error = error
                if self._copy is None:
                    raise
            finally:
                self._asked_at_s = time.monotonic()
            return self._copy
        finally:
            self._lock.release()

    def _read(self) -> _Copy:
        with self._client.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.hgetall(self._keys.tokens)
            pipe.hgetall(self._keys.sessions)
            now, tokens, sessions = pipe.execute(raise_on_error=False)
        if isinstance(now, Exception):
            raise now
        now_ms = int(now[0]) * 1000 + int(now[1]) // 1000
        return _Copy(_hash(tokens), _hash(sessions), now_ms, time.monotonic())


def _hash(answer: Any) -> dict[bytes, bytes]:
    """The answer to HGETALL; empty if another program has replaced the key by one of another type."""
    if isinstance(answer, Exception):
        if not is_wrong_type(answer):
            raise answer
        return {}
    found: dict[bytes, bytes] = answer
    return found


def _visitor(token: Token, proof: Proof) -> Visitor:
    return Visitor(token.role, f"{token.label} ({proof.token_id})" if token.label else proof.token_id, proof)
