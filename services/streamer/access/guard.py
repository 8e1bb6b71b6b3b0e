"""The check before every request, and the end of streams whose viewer may no longer see them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import urlencode

import structlog
from flask import Flask, Response, g, redirect, request
from redis.exceptions import RedisError
from werkzeug.exceptions import Forbidden, TooManyRequests, Unauthorized
from werkzeug.wrappers import Response as AnyResponse

from services.streamer.access.addresses import Sender, sender_of
from services.streamer.access.credentials import Credentials
from services.streamer.access.failed_logins import FailedLogins
from services.streamer.access.hosts import is_same_origin
from services.streamer.access.login import add_login
from services.streamer.access.rules import AccessRules
from services.streamer.access.visitor import ANYBODY, Visitor
from shared.tokens import Role

_log = structlog.get_logger()
_OPEN_PATHS = ("/healthz",)
"""Neither the login nor Host is checked: probes know no token, and it says no more than that the process runs."""
_LOGIN_PATHS = ("/login", "/logout")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_READING_POSTS = ("/api/v1/identities/search",)
"""They change nothing, so viewers may send them; what they look up has no place in an address."""
_LOOK_EVERY_S = 1.0
_ADVICE = "make a token with `mtmc tokens add`, and send it as bearer token or as password of HTTP Basic"


class Guard:
    """Decides for every request who sent it, and whether that may be."""

    def __init__(self, rules: AccessRules, credentials: Credentials, site: str) -> None:
        self.rules, self.credentials = rules, credentials
        self.cookie = f"mtmc_{site}"
        """A browser sends cookies to every port of a host, so that each site needs its own name."""
        self.failed_logins = FailedLogins()

    def install(self, app: Flask) -> None:
        """Registers the checks; must come before any other `before_request`."""
        app.before_request(self._check)
        app.after_request(self._guard_response)
        app.context_processor(lambda: {"has_session": self._has_session(), "role": self._role()})
        add_login(app, self)

    def announce(self) -> None:
        """Logs who can reach the page, and what to do if that is nobody."""
        if not self.rules.needs_login:
            if not self.rules.is_local:
                _log.warning("the page needs no login; all who reach it may see and change everything")
            return
        log, there = _log.info, "people and programs log in with a token"
        try:
            if not self.credentials.has_tokens():
                log, there = _log.warning, "there is no token yet, so nobody can log in"
        except RedisError:
            there = "Redis does not answer, so nobody can log in"
        log(
            f"the page needs a login, because others can reach it; {there}. Make a token: mtmc tokens add SITE.yaml",
            published=self.rules.published,
        )

    def refresh(self) -> None:
        """Learns which tokens and sessions have ended, so that their streams end; called again and again."""
        if self.rules.needs_login:
            self.credentials.refresh()

    def sender(self) -> Sender:
        """Where the present request comes from."""
        headers = request.headers
        return sender_of(
            request.remote_addr or "",
            ",".join(headers.getlist("X-Forwarded-For")),
            headers.get("X-Forwarded-Proto", ""),
            self.rules.proxies,
        )

    def require_same_origin(self, *, required: bool) -> None:
        """Refuses a request that a page of another web site has sent.

        Raises:
            Forbidden: it has.
        """
        headers = request.headers
        host = headers.get("Host")
        if not is_same_origin(headers.get("Origin"), headers.get("Sec-Fetch-Site"), host, required=required):
            raise Forbidden(
                "this request was sent by another web site, or a proxy has changed its header Host; let the proxy pass "
                "on Host unchanged"
            )

    def refuse_if_limited(self) -> None:
        """Refuses an address that has failed to log in too often.

        Raises:
            TooManyRequests: it has; says how long to wait.
        """
        if wait_s := self.failed_logins.wait_s(self.sender().client, time.monotonic()):
            g.access_headers = [("Retry-After", str(wait_s))]
            raise TooManyRequests(f"too many failed logins from your address; try again in {wait_s} s")

    def note_failure(self) -> None:
        """Counts and logs a failed login; nothing of what was sent is logged."""
        client = self.sender().client
        if self.failed_logins.wait_s(client, time.monotonic()):
            return
        if self.failed_logins.add(client, time.monotonic()):
            _log.warning("too many failed logins; refusing more for up to a minute", address=client)
        else:
            _log.info("a login failed", address=client)

    def _check(self) -> AnyResponse | None:
        g.visitor = None
        if request.path in _OPEN_PATHS:
            return None
        host = request.headers.get("Host")
        if not self.rules.hosts.allows(host):
            raise Forbidden("this page is not served under the name in your address bar; add it to streamer.hosts")
        if request.path in _LOGIN_PATHS:
            return None
        visitor = self.visitor() if self.rules.needs_login else ANYBODY
        if visitor is None:
            return self._login_page() or self._unauthorized()
        g.visitor = visitor
        if request.method not in _SAFE_METHODS:
            self.require_same_origin(required=visitor.has_session)
            if visitor.role != "operator" and request.path not in _READING_POSTS:
                raise Forbidden("your token has the role viewer, but this needs the role operator")
        return None

    def visitor(self) -> Visitor | None:
        """Who sent the request: whose token it has, else whose session; None if it has neither.

        A valid token is accepted even if its address has failed too often: a neighbour behind the same address must
        not be able to lock a program out, and nobody guesses 256 bits.

        Raises:
            TooManyRequests: it has a wrong token, and the address has failed too often.
            RedisError: Redis does not answer, and the token or session is not known yet.
        """
        sent = self._sent_token()
        if sent is not None and (visitor := self.credentials.by_token(sent)) is not None:
            return visitor
        key = request.cookies.get(self.cookie)
        if key is not None and (visitor := self.credentials.by_session(key)) is not None:
            return visitor
        if sent is not None:
            self.refuse_if_limited()
            self.note_failure()
        return None

    @staticmethod
    def _sent_token() -> str | None:
        sent = request.authorization
        if sent is None:
            return None
        return {"bearer": sent.token, "basic": sent.password}.get(sent.type)

    @staticmethod
    def _login_page() -> AnyResponse | None:
        """The way to the login, if a person opens an address in a browser."""
        is_page = request.method in ("GET", "HEAD") and "text/html" in request.headers.get("Accept", "")
        if not is_page or request.path.startswith("/api/"):
            return None
        there = request.full_path if request.query_string else request.path
        response = redirect("/login" if there == "/" else f"/login?{urlencode({'next': there})}", 303)
        response.headers["Cache-Control"] = "no-store"
        return response

    @staticmethod
    def _unauthorized() -> AnyResponse:
        """Players send what is in a URL only after they were asked for it; a browser would ask the user in a dialog."""
        challenges = ['Bearer realm="mtmc"']
        if "Mozilla/" not in request.headers.get("User-Agent", "") and "Sec-Fetch-Mode" not in request.headers:
            challenges.insert(0, 'Basic realm="mtmc", charset="UTF-8"')
        g.access_headers = [("WWW-Authenticate", challenge) for challenge in challenges]
        raise Unauthorized(f"this page needs a login; {_ADVICE}")

    def _has_session(self) -> bool:
        visitor = g.get("visitor")
        return visitor is not None and visitor.has_session

    @staticmethod
    def _role() -> Role:
        visitor = g.get("visitor")
        return "viewer" if visitor is None else visitor.role

    def _guard_response(self, response: Response) -> Response:
        for name, value in g.get("access_headers", ()):
            response.headers.add(name, value)
        visitor = g.get("visitor")
        if visitor is None or visitor.proof is None:
            return response
        if response.is_streamed and request.method != "HEAD":
            proof = visitor.proof
            body: Any = response.response
            response.response = _UntilRevoked(body, lambda: self.credentials.still_valid(proof))
        elif "Cache-Control" not in response.headers:
            response.headers["Cache-Control"] = "private"
        return response


class _UntilRevoked:
    """The body of a stream, which ends within a second after its viewer may no longer see it."""

    def __init__(self, body: Iterable[bytes], is_valid: Callable[[], bool]) -> None:
        self._body, self._parts, self._is_valid = body, iter(body), is_valid
        self._look_at_s = time.monotonic() + _LOOK_EVERY_S

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        part = next(self._parts)
        if time.monotonic() >= self._look_at_s:
            if not self._is_valid():
                _log.info("ended a stream, because its token was revoked or its session has ended")
                raise StopIteration
            self._look_at_s = time.monotonic() + _LOOK_EVERY_S
        return part

    def close(self) -> None:
        """Ends the body."""
        close = getattr(self._body, "close", None)
        if close is not None:
            close()
