"""The login of the page over real HTTP and a real Redis."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import time
from collections.abc import Iterator
from urllib.parse import urlencode

import av
import cv2
import pytest
from flask import jsonify
from structlog.testing import capture_logs

from services.streamer.access import guard as guard_module
from services.streamer.access.visitor import current_visitor
from services.streamer.app import create_app
from shared.config import StreamerConfig
from shared.redis_connection import Client, connect
from shared.tokens import Role, add_token, revoke_tokens
from site_checks.ports import examine_port
from tests.conftest import RedisProcess
from tests.integration.streamer_site import (
    KEYS,
    SITE,
    Serving,
    Viewer,
    numbered_jpeg,
    publish,
    publish_picture,
    serving,
    set_status,
    wait_until,
)
from tests.stopwatch import Stopwatch

Answer = tuple[int, dict[str, str], bytes]
PATHS = (
    "/",
    "/metrics",
    "/readyz",
    "/north.jpg",
    "/north.mjpg",
    "/wall.stream",
    "/static/wall.js",
    "/api/v1/site",
    "/api/v1/openapi.json",
    "/nothing",
    "/healthz/",
    "/login/../metrics",
)
BROWSER = {"User-Agent": "Mozilla/5.0", "Accept": "text/html,*/*"}
FORGED = "mtmc_0a1b2c3d_" + "0" * 64


@pytest.fixture
def closed(redis_url: str, redis_client: Client) -> Iterator[Serving]:
    """A streamer that says that it is published everywhere."""
    publish(redis_url, ["north", "south"])
    with serving(redis_url, published="0.0.0.0") as running:
        yield running


def token(client: Client, role: Role = "viewer", lifetime_ms: int | None = None) -> str:
    return add_token(client, KEYS, role, "a test", lifetime_ms)[0].text


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def basic(text: str, user: str = "any") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{text}".encode()).decode()}


def send(site: Serving, method: str, path: str, body: str = "", **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=60)
    with contextlib.closing(connection):
        connection.request(
            method, path, body=body, headers={name.replace("_", "-"): text for name, text in headers.items()}
        )
        response = connection.getresponse()
        return response.status, {name.lower(): text for name, text in response.getheaders()}, response.read()


def log_in(site: Serving, text: str, path: str = "/login", **headers: str) -> Answer:
    form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"http://127.0.0.1:{site.port}", **headers}
    return send(site, "POST", path, urlencode({"token": text}), **form)


def cookie_of(answer: Answer) -> dict[str, str]:
    assert answer[0] == 303, answer
    return {"Cookie": answer[1]["set-cookie"].partition(";")[0]}


def test_without_a_login_only_healthz_and_the_login_answer(closed: Serving) -> None:
    answers = {path: closed.get(path)[0] for path in PATHS}
    assert set(answers.values()) <= {401, 308}, answers
    assert closed.get("/healthz")[:1] == (200,)
    assert closed.get("/healthz", {"Host": "pod.example"})[0] == 200
    status, headers, page = closed.get("/login")
    assert (status, headers["cache-control"]) == (200, "no-store")
    assert b'<form method="post">' in page
    error = json.loads(closed.get("/api/v1/site")[2])
    assert (error["status"], error["title"]) == (401, "Unauthorized")
    assert "mtmc tokens add" in error["detail"]


def test_a_program_logs_in_as_bearer_or_with_a_password(closed: Serving, redis_client: Client) -> None:
    set_status(redis_client, "north")
    for role in ("viewer", "operator"):
        good = token(redis_client, role)  # type: ignore[arg-type]
        for headers in (bearer(good), basic(good), basic(good, "")):
            for path in ("/", "/api/v1/site", "/metrics", "/north.jpg", "/static/wall.js"):
                assert closed.get(path, headers)[0] == 200, path
            # The login was checked, and the answer is about the path.
            assert closed.get("/nothing", headers)[0] == 404


@pytest.mark.parametrize("scheme", ["bearer", "basic"])
def test_what_is_no_valid_token_is_refused(closed: Serving, redis_client: Client, scheme: str) -> None:
    good, expired = token(redis_client), token(redis_client, lifetime_ms=0)
    name, digest = good.split("_")[1], json.loads(redis_client.hget(KEYS.tokens, good.split("_")[1]))["digest"]
    tries = [
        FORGED,
        expired,
        good[:-1],
        good.upper(),
        f"mtmc_{name}_{digest}",
        digest,
        "",
        f"session{good[4:]}",
    ]
    for text in tries:
        headers = bearer(text) if scheme == "bearer" else basic(text)
        assert closed.get("/api/v1/site", headers)[0] in (401, 429), text
    assert closed.get("/api/v1/site", {"Authorization": f"Digest {good}"})[0] == 401
    assert closed.get(f"/api/v1/site?token={good}")[0] == 401


def test_players_get_a_challenge_for_a_password_and_browsers_none(closed: Serving) -> None:
    headers = closed.get("/north.mjpg", {"User-Agent": "VLC/3.0.20 LibVLC/3.0.20"})[1]
    assert 'Basic realm="mtmc"' in headers["www-authenticate"] or "Bearer" in headers["www-authenticate"]
    connection = http.client.HTTPConnection("127.0.0.1", closed.port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", "/north.mjpg")
        challenges = connection.getresponse().headers.get_all("WWW-Authenticate")
    assert challenges == ['Basic realm="mtmc", charset="UTF-8"', 'Bearer realm="mtmc"']
    assert closed.get("/wall.stream", {"User-Agent": "Mozilla/5.0"})[1]["www-authenticate"] == 'Bearer realm="mtmc"'
    assert closed.get("/wall.stream", {"Sec-Fetch-Mode": "cors"})[1]["www-authenticate"] == 'Bearer realm="mtmc"'


@pytest.mark.parametrize("library", ["PyAV", "OpenCV"])
def test_players_show_a_stream_with_the_token_in_its_url(
    closed: Serving, redis_client: Client, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_status(redis_client, "north")
    for tick in range(1, 3):
        publish_picture(redis_client, "north", tick, numbered_jpeg(tick))
    url = f"http://vlc:{token(redis_client)}@127.0.0.1:{closed.port}/north.mjpg"
    if library == "PyAV":
        with av.open(url, options={"rw_timeout": "30000000"}, format="mpjpeg") as stream:
            frame = next(stream.decode(video=0))
        assert (frame.width, frame.height) == (320, 180)
        return
    monkeypatch.setitem(os.environ, "OPENCV_FFMPEG_CAPTURE_OPTIONS", "rw_timeout;30000000")
    capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG)
    got, image = capture.read()
    capture.release()
    assert got
    assert image.shape[:2] == (180, 320)


def test_a_browser_is_sent_to_the_login_and_back(closed: Serving, redis_client: Client) -> None:
    assert closed.get("/", BROWSER)[:1] == (303,)
    assert closed.get("/", BROWSER)[1]["location"] == "/login"
    there = closed.get("/north.mjpg?width=320", BROWSER)[1]["location"]
    assert there == "/login?next=%2Fnorth.mjpg%3Fwidth%3D320"
    answer = log_in(closed, token(redis_client), there)
    assert answer[1]["location"] == "/north.mjpg?width=320"
    assert closed.get("/", {**BROWSER, **cookie_of(answer)})[0] == 200
    assert b'id="logout"' in closed.get("/", {**BROWSER, **cookie_of(answer)})[2]


@pytest.mark.parametrize("there", ["https://evil.example", "//evil.example", "/\\evil.example", "/%0d%0aX:y", "x"])
def test_the_login_leads_to_no_other_web_site(closed: Serving, redis_client: Client, there: str) -> None:
    answer = log_in(closed, token(redis_client), f"/login?next={there}")
    assert (answer[0], answer[1]["location"]) == (303, "/")


def test_a_session_cookie_is_safe_and_no_token(closed: Serving, redis_client: Client) -> None:
    good = token(redis_client)
    answer = log_in(closed, f" {good}\n")
    cookie = answer[1]["set-cookie"]
    assert cookie.startswith(f"mtmc_{SITE}=session_")
    assert {"HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert good not in cookie
    key = cookie.partition("=")[2].partition(";")[0]
    stored = repr((redis_client.hgetall(KEYS.tokens), redis_client.hgetall(KEYS.sessions)))
    assert good.split("_")[1] in stored
    for secret in (good, good[-64:], key, key[-64:]):
        assert secret not in stored
    assert closed.get("/api/v1/site", bearer(key))[0] == 401
    assert closed.get("/api/v1/site", {"Cookie": f"mtmc_{SITE}={good}"})[0] == 401


def test_the_cookie_is_secure_behind_a_trusted_proxy_with_tls(redis_url: str, redis_client: Client) -> None:
    publish(redis_url, ["north"], hosts=["site.example"], trusted_proxies=["127.0.0.0/8"])
    with serving(redis_url) as site:  # published on 127.0.0.1, but the proxy makes it reachable
        answer = log_in(
            site, token(redis_client), Host="site.example", Origin="https://site.example", X_Forwarded_Proto="https"
        )
        assert "Secure" in answer[1]["set-cookie"].split("; ")
        assert site.get("/", {"Host": "site.example", **cookie_of(answer)})[0] == 200
        assert site.get("/", {"Host": "other.example", **cookie_of(answer)})[0] == 403


def test_a_session_ends_with_the_logout_at_every_streamer(
    closed: Serving, redis_client: Client, redis_url: str
) -> None:
    cookie = cookie_of(log_in(closed, token(redis_client)))
    with serving(redis_url, published="0.0.0.0") as other:
        assert other.get("/", cookie)[0] == 200
        assert send(closed, "POST", "/logout", Origin="https://evil.example", **cookie)[0] == 403
        assert other.get("/", cookie)[0] == 200
        status, headers, _ = send(closed, "POST", "/logout", Origin=f"http://127.0.0.1:{closed.port}", **cookie)
        assert status == 204
        assert "Max-Age=0" in headers["set-cookie"]
        assert closed.get("/", cookie)[0] == 401
        wait_until(lambda: other.get("/", cookie)[0] == 401, "the session has ended at the other streamer")


def test_a_new_token_is_valid_at_once_and_a_revoked_one_within_moments_no_more(
    closed: Serving, redis_client: Client
) -> None:
    set_status(redis_client, "north")
    kept = token(redis_client)
    publish_picture(redis_client, "north", 1, numbered_jpeg(1))
    for _ in range(3):
        good = token(redis_client)
        assert closed.get("/api/v1/site", bearer(good))[0] == 200
    cookie = cookie_of(log_in(closed, good))
    streams = [closed.watch("north", headers=headers) for headers in (bearer(good), cookie, bearer(kept))]
    wall = Viewer(closed.port, "/wall.stream", headers=cookie)
    wall.message()
    for stream in streams:
        stream.part()
    revoke_tokens(redis_client, KEYS, [good.split("_")[1]])
    watch = Stopwatch()
    wait_until(lambda: closed.get("/", cookie)[0] == 401, "the session ends with its token")
    assert closed.get("/api/v1/site", bearer(good))[0] == 401
    assert watch.within(10), watch.seconds

    def ended(viewer: Viewer) -> bool:
        publish_picture(redis_client, "north", 2 + int(time.monotonic() * 1000), numbered_jpeg(2))
        try:
            viewer.message() if viewer is wall else viewer.part()
        except (AssertionError, ValueError, KeyError):
            return True
        return False

    for viewer in (*streams[:2], wall):
        wait_until(lambda viewer=viewer: ended(viewer), "the stream ends")  # type: ignore[misc]
    assert not ended(streams[2])
    wall.close()


def test_a_stream_without_pictures_ends_too(closed: Serving, redis_client: Client) -> None:
    good = token(redis_client)
    viewer = closed.watch("south", headers=bearer(good))
    assert viewer.part().tick is None, "no worker has the camera"
    revoke_tokens(redis_client, KEYS, [good.split("_")[1]])
    assert viewer.response.read() is not None, "reading ends, because the stream does"


def test_a_token_expires(closed: Serving, redis_client: Client) -> None:
    short = token(redis_client, lifetime_ms=4500)
    answer = log_in(closed, short)
    assert int(dict(part.split("=") for part in answer[1]["set-cookie"].split("; ") if "=" in part)["Max-Age"]) <= 4
    wait_until(lambda: closed.get("/", bearer(short))[0] == 401, "it has expired")
    assert closed.get("/", cookie_of(answer))[0] == 401


def test_too_many_failures_make_an_address_wait_but_lock_no_program_out(closed: Serving, redis_client: Client) -> None:
    good = token(redis_client)
    cookie = cookie_of(log_in(closed, good))
    with capture_logs() as logs:
        answers = [closed.get("/api/v1/site", bearer(FORGED)) for _ in range(15)]
    assert [status for status, _, _ in answers] == [401] * 10 + [429] * 5
    assert 0 < int(answers[-1][1]["retry-after"]) <= 60
    assert sum("failed" in line["event"] for line in logs) == 10
    assert closed.get("/api/v1/site", bearer(good))[0] == 200
    assert closed.get("/api/v1/site", cookie)[0] == 200
    assert closed.get("/api/v1/site")[0] == 401
    status, headers, page = log_in(closed, good)
    assert status == 429
    assert 0 < int(headers["retry-after"]) <= 60
    assert b"too many failed logins" in page


def test_a_changing_request_needs_an_operator_and_our_own_page(closed: Serving, redis_client: Client) -> None:
    app = create_app(closed.streamer.parts, max_viewers=9)
    app.post("/api/v1/things")(lambda: jsonify(who=current_visitor().name))
    client, own, evil = app.test_client(), {"Origin": "http://localhost"}, {"Origin": "https://evil.example"}

    def post(**headers: str) -> tuple[int, str]:
        answer = client.post("/api/v1/things", headers={name.replace("_", "-"): text for name, text in headers.items()})
        return answer.status_code, answer.get_data(as_text=True)

    viewer, operator = token(redis_client), token(redis_client, "operator")
    session, seen = (cookie_of(log_in(closed, text)) for text in (operator, viewer))
    assert post(**own)[0] == 401
    assert post(**bearer(viewer))[0] == 403
    assert "operator" in post(**bearer(viewer))[1]
    status, body = post(**bearer(operator))
    assert (status, json.loads(body)["who"]) == (200, f"a test ({operator.split('_')[1]})")
    assert post(**basic(operator))[0] == 200
    assert post(**bearer(operator), **evil)[0] == 403
    assert post(**basic(operator), Sec_Fetch_Site="cross-site")[0] == 403
    for name, cookie, expected in (("operator", session, 200), ("viewer", seen, 403)):
        client.set_cookie(f"mtmc_{SITE}", cookie["Cookie"].partition("=")[2])
        assert post(**own)[0] == expected, name
        assert post(**evil)[0] == 403
        assert post(Origin="null")[0] == 403
        assert post()[0] == 403


def test_an_open_page_needs_no_login_but_refuses_other_web_sites(redis_url: str, redis_client: Client) -> None:
    publish(redis_url, ["north"])
    with serving(redis_url) as site:
        for path in ("/", "/api/v1/site", "/metrics", "/static/wall.js"):
            assert site.get(path)[0] == 200
            assert site.get(path, {"Host": f"localhost:{site.port}"})[0] == 200
            status, _, body = site.get(path, {"Host": "evil.example"})
            assert status == 403
            assert b"streamer.hosts" in body
        assert b'id="logout"' not in site.get("/")[2]
        assert site.get("/login")[1]["location"] == "/"
        app = create_app(site.streamer.parts, max_viewers=9)
        app.post("/api/v1/things")(lambda: jsonify(who=current_visitor().name))
        client = app.test_client()
        assert client.post("/api/v1/things").status_code == 200
        assert client.post("/api/v1/things", headers={"Origin": "http://localhost"}).status_code == 200
        assert client.post("/api/v1/things", headers={"Origin": "https://evil.example"}).status_code == 403


def test_insecure_opens_a_page_that_others_reach(redis_url: str, redis_client: Client) -> None:
    publish(redis_url, ["north"])
    with capture_logs() as logs, serving(redis_url, published="0.0.0.0", insecure=True) as site:
        assert site.get("/api/v1/site")[0] == 200
        assert site.get("/api/v1/site", {"Host": "192.0.2.1:8080"})[0] == 200
        assert site.get("/api/v1/site", {"Host": "evil.example"})[0] == 403
    assert any("needs no login" in line["event"] and line["log_level"] == "warning" for line in logs)


def test_the_start_says_how_to_log_in(redis_url: str, redis_client: Client) -> None:
    publish(redis_url, ["north"])
    said = []
    for _ in range(2):
        with capture_logs() as logs, serving(redis_url, published="192.0.2.1"):
            pass
        said += [(line["log_level"], line["published"]) for line in logs if "mtmc tokens add" in line["event"]]
        token(redis_client)
    assert said == [("warning", "192.0.2.1"), ("info", "192.0.2.1")]


def test_nothing_of_a_token_reaches_a_log_or_an_answer(
    redis_url: str, redis_client: Client, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    publish(redis_url, ["north"])
    good, secrets = token(redis_client, "operator"), []
    with capture_logs() as logs, serving(redis_url, published="0.0.0.0") as site:
        cookie = cookie_of(log_in(site, good))
        secrets = [good[-64:], FORGED[-64:], cookie["Cookie"][-64:]]
        answers = [
            log_in(site, FORGED),
            site.get("/nothing", bearer(good)),
            site.get("/api/v1/nothing", basic(good)),
            site.get("/api/v1/site", bearer(FORGED)),
            site.get("/", cookie),
            site.get("/metrics", cookie),
            site.get("/login", cookie),
        ]
        monkeypatch.setattr(guard_module.Guard, "visitor", lambda _: 1 / 0)  # an error of our own
        answers += [site.get("/", headers) for headers in (bearer(good), basic(good), cookie)]
        assert answers[-1][0] == 500
    said = "".join(capfd.readouterr()) + repr(logs) + repr(answers) + repr(site.streamer.parts)
    assert "logged in" in said
    for secret in secrets:
        assert secret not in said
        assert base64.b64encode(secret.encode())[4:40].decode() not in said


def test_while_redis_is_away_whoever_is_logged_in_remains_so(redis_process: RedisProcess) -> None:
    publish(redis_process.url, ["north"])
    client = connect(redis_process.url)
    good = token(client)
    with serving(redis_process.url, published="0.0.0.0") as site:
        cookie = cookie_of(log_in(site, good))
        assert site.get("/", cookie)[0] == 200
        redis_process.stop()
        assert site.get("/", cookie)[0] == 200
        assert site.get("/", bearer(good))[0] == 200
        assert site.get("/", bearer(FORGED))[0] == 503
        assert site.get("/")[0] == 401
        status, _, page = log_in(site, FORGED)
        assert status == 503
        assert b"Redis does not answer" in page
        redis_process.start()
        wait_until(lambda: site.get("/", bearer(FORGED))[0] == 401, "Redis is back")
    client.close()


@pytest.mark.parametrize("key", [KEYS.tokens, KEYS.sessions])
def test_damaged_keys_let_nobody_in_and_stop_nothing(closed: Serving, redis_client: Client, key: str) -> None:
    good = token(redis_client)
    cookie = cookie_of(log_in(closed, good))
    name = good.split("_")[1]
    for garbage in (b"", b"\xff", b"null", b"[]", b"{", b"1e400", b'{"digest": ""}', b"0" * 100_000):
        redis_client.delete(key)
        redis_client.hset(
            key, mapping={name: garbage, b"\xff\xfe": garbage, "": garbage, cookie["Cookie"].split("_")[2]: garbage}
        )
        wait_until(lambda: closed.get("/", cookie)[0] == 401, f"{garbage[:20]!r} lets nobody in")
        assert closed.get("/", bearer(FORGED))[0] in (401, 429)
    for kind in ("string", "list"):
        redis_client.delete(key)
        redis_client.set(key, "x") if kind == "string" else redis_client.rpush(key, "x")
        wait_until(lambda: closed.get("/", cookie)[0] == 401, f"a {kind} lets nobody in")
    redis_client.delete(key)
    assert closed.get("/", bearer(token(redis_client)))[0] == 200


def test_the_number_of_sessions_is_bounded(
    closed: Serving, redis_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.streamer.access.credentials.MAX_SESSIONS", 3)
    redis_client.hset(KEYS.sessions, "garbage", "garbage")
    good, revoked = token(redis_client), token(redis_client)
    log_in(closed, revoked)
    revoke_tokens(redis_client, KEYS, [revoked.split("_")[1]])
    cookies = [cookie_of(log_in(closed, good)) for _ in range(5)]
    assert redis_client.hlen(KEYS.sessions) == 3
    wait_until(lambda: closed.get("/", cookies[0])[0] == 401, "the oldest has ended")
    assert closed.get("/", cookies[-1])[0] == 200


def test_a_large_form_is_refused(closed: Serving) -> None:
    assert log_in(closed, "x" * 20_000)[0] == 413


def test_doctor_recognises_a_page_that_needs_a_login(closed: Serving) -> None:
    found = examine_port(StreamerConfig(port=closed.port), SITE)
    assert "needs a login" in found.what
