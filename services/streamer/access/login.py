"""The login: exchanges a token for a session, whose key is in a cookie."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

import structlog
from flask import Flask, Response, g, make_response, redirect, render_template, request
from redis.exceptions import RedisError
from werkzeug.exceptions import TooManyRequests
from werkzeug.wrappers import Response as AnyResponse

if TYPE_CHECKING:
    from services.streamer.access.guard import Guard

_log = structlog.get_logger()
_MAX_BODY_BYTES = 8192
_OWN_PATH = re.compile(r"/(?![/\\])[^\s\\]*")
"""A path of this page. Browsers take `//host` and `/\\host` for another web site."""


def add_login(app: Flask, guard: Guard) -> None:
    """Adds `/login` and `/logout`."""

    @app.get("/login")
    def _login_page() -> AnyResponse:
        if not guard.rules.needs_login:
            return redirect("/", 303)
        return _page(200, "")

    @app.post("/login")
    def _login() -> AnyResponse:
        if not guard.rules.needs_login:
            return redirect("/", 303)
        guard.require_same_origin(required=False)
        request.max_content_length = _MAX_BODY_BYTES
        try:
            guard.refuse_if_limited()
        except TooManyRequests as refused:
            return _page(429, str(refused.description))
        try:
            visitor = guard.credentials.by_token(request.form.get("token", "").strip())
            if visitor is None:
                guard.note_failure()
                g.access_headers = [("WWW-Authenticate", 'Bearer realm="mtmc"')]
                return _page(401, "This token is not valid. It may have expired, or it was revoked.")
            key, seconds = guard.credentials.start_session(visitor)
        except RedisError:
            return _page(503, "Redis does not answer. Try again in a moment.")
        sender = guard.sender()
        _log.info("logged in", who=visitor.name, role=visitor.role, address=sender.client)
        response = redirect(_after_login(), 303)
        response.set_cookie(
            guard.cookie, key.text, max_age=seconds, secure=sender.secure, httponly=True, samesite="Lax", path="/"
        )
        response.headers["Cache-Control"] = "no-store"
        return response

    @app.post("/logout")
    def _logout() -> AnyResponse:
        guard.require_same_origin(required=False)
        key = request.cookies.get(guard.cookie)
        visitor = guard.credentials.by_session(key) if key is not None else None
        if visitor is not None and visitor.proof is not None:
            guard.credentials.end_session(visitor.proof)
        response = Response(status=204, headers={"Cache-Control": "no-store"})
        response.delete_cookie(guard.cookie, path="/", httponly=True, samesite="Lax", secure=guard.sender().secure)
        return response


def _after_login() -> str:
    there = request.args.get("next", "/")
    return there if _OWN_PATH.fullmatch(there) else "/"


def _page(status: int, message: str) -> Response:
    """The page with the form. It is complete in itself, because nothing else can be loaded without a login.

    Its form may be sent, unlike on other pages, and with `Referrer-Policy: no-referrer` the browser would not say from
    where.
    """
    nonce = secrets.token_urlsafe(16)
    response = make_response(render_template("login.html", nonce=nonce, message=message), status)
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; img-src data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "no-store"
    return response
