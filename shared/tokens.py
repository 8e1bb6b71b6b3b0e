"""The tokens with which people and programs log in to the page; kept in Redis for all streamers of a site.

Redis has only the SHA-256 of a token, so nobody can log in with what is in Redis or its backups. A slow hash or a salt,
as for passwords, would add nothing: a token has 256 random bits, so nobody can guess it or look it up in a table. It
would only cost time at every request of a program.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from shared.errors import MtmcError
from shared.keys import Keys
from shared.lenient_reads import hash_at
from shared.redis_connection import Client, server_time_ns

Role = Literal["viewer", "operator"]
ROLES: tuple[Role, ...] = ("viewer", "operator")
MAX_TOKENS = 1000
"""Every streamer reads all of them once a second."""
MAX_LABEL = 100
_LAST_MS = 253_402_300_799_000
"""The end of the year 9999, the last that `datetime` knows."""
_ID = re.compile(r"^[0-9a-f]{8}$")
_CREDENTIAL = re.compile(r"(?P<kind>mtmc|session)_(?P<id>[0-9a-f]{8})_[0-9a-f]{64}")


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it contains characters that cannot be printed")
    return text


Label = Annotated[str, Field(max_length=MAX_LABEL), AfterValidator(_printable)]
TimeMs = Annotated[int, Field(ge=0, le=_LAST_MS)]
TokenId = Annotated[str, Field(pattern=_ID.pattern)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True)
class Credential:
    """A token or the key of a session, as somebody presents it; its text is secret, its id is not."""

    id: str
    text: str = field(repr=False)

    @classmethod
    def new(cls, kind: Literal["mtmc", "session"] = "mtmc") -> Credential:
        """A random credential with a random id."""
        name = secrets.token_hex(4)
        return cls(name, f"{kind}_{name}_{secrets.token_hex(32)}")

    @classmethod
    def parse(cls, text: str, kind: Literal["mtmc", "session"] = "mtmc") -> Credential | None:
        """The credential that `text` spells; None if it has another form."""
        found = _CREDENTIAL.fullmatch(text)
        return cls(found["id"], text) if found is not None and found["kind"] == kind else None

    @property
    def digest(self) -> str:
        """The SHA-256 of the text, in hexadecimal digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def matches(self, digest: str) -> bool:
        """Whether `digest` is that of this credential; takes the same time whatever the digest is."""
        return hmac.compare_digest(self.digest.encode(), digest.encode())


class Token(BaseModel):
    """What Redis has of a token."""

    model_config = ConfigDict(frozen=True, strict=True)

    digest: Digest = Field(repr=False)
    role: Role
    label: Label
    created_ms: TimeMs
    expires_ms: TimeMs | None
    """Redis time; None: never."""

    @classmethod
    def parse(cls, text: bytes | None) -> Token | None:
        """The token of one field of the hash `tokens`; None if it is missing or cannot be read."""
        try:
            return None if text is None else cls.model_validate_json(text)
        except ValidationError:
            return None

    def is_expired(self, now_ms: int) -> bool:
        """Whether it is no longer accepted at `now_ms` (Redis time)."""
        return self.expires_ms is not None and now_ms >= self.expires_ms


def read_tokens(client: Client, keys: Keys) -> Mapping[str, Token | None]:
    """Id → token, the oldest first; None where it cannot be read. Fields that are no id are left out."""
    found = {name.decode(errors="replace"): Token.parse(text) for name, text in hash_at(client, keys.tokens).items()}
    named = {name: token for name, token in found.items() if _ID.fullmatch(name)}
    return dict(sorted(named.items(), key=lambda item: (item[1].created_ms if item[1] else 0, item[0])))


def add_token(client: Client, keys: Keys, role: Role, label: str, lifetime_ms: int | None) -> tuple[Credential, Token]:
    """Makes a token, and deletes those that have expired or cannot be read; `lifetime_ms` None: it never expires.

    Raises:
        MtmcError: the site has too many tokens.
    """
    now_ms = server_time_ns(client) // 1_000_000
    found = {name: Token.parse(text) for name, text in hash_at(client, keys.tokens).items()}
    useless = [name for name, token in found.items() if token is None or token.is_expired(now_ms)]
    if useless:
        client.hdel(keys.tokens, *useless)
    if len(found) - len(useless) >= MAX_TOKENS:
        raise MtmcError(f"the site has {MAX_TOKENS} tokens, and can have no more; revoke some: mtmc tokens revoke")
    expires_ms = None if lifetime_ms is None else now_ms + lifetime_ms
    while True:
        credential = Credential.new()
        token = Token(digest=credential.digest, role=role, label=label, created_ms=now_ms, expires_ms=expires_ms)
        if client.hsetnx(keys.tokens, credential.id, token.model_dump_json()):
            return credential, token


def revoke_tokens(client: Client, keys: Keys, ids: Collection[str]) -> list[str]:
    """Deletes all of the tokens, or none of them if any is unknown; returns the unknown `ids`."""
    present = hash_at(client, keys.tokens)
    unknown = [name for name in ids if name.encode() not in present]
    if ids and not unknown:
        client.hdel(keys.tokens, *ids)
    return unknown
