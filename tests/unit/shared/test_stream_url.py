"""URLs of streams as people write them."""

from __future__ import annotations

from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.stream_url import StreamUrl


@pytest.mark.parametrize(
    ("written", "login", "host", "path"),
    [
        ("rtsp://10.0.0.5/live", "", "10.0.0.5", "/live"),
        ("rtsp://admin:secret@10.0.0.5:554/live?ch=1", "admin:secret", "10.0.0.5:554", "/live?ch=1"),
        ("rtsp://admin:p@ss@10.0.0.5/live", "admin:p%40ss", "10.0.0.5", "/live"),
        ("rtsp://admin:50%off@10.0.0.5/", "admin:50%25off", "10.0.0.5", "/"),
        ("rtsp://admin:a%2Fb@10.0.0.5/", "admin:a%2Fb", "10.0.0.5", "/"),
        ("rtsp://admin:a:b@10.0.0.5/", "admin:a:b", "10.0.0.5", "/"),
        ("rtsp://user@[fe80::1]:554/x", "user", "[fe80::1]:554", "/x"),
        ("rtsp://camera:554/user=admin_password=b@c", "", "camera:554", "/user=admin_password=b@c"),
        ("rtsp://cam.local/a@b.c", "", "cam.local", "/a@b.c"),
        ("http://camera", "", "camera", ""),
    ],
)
def test_a_url_is_split_and_its_login_escaped(written: str, login: str, host: str, path: str) -> None:
    url = StreamUrl.parse(written)
    assert (url.login, url.host, url.path) == (login, host, path)
    assert StreamUrl.parse(str(url)) == url


@pytest.mark.parametrize(
    "password",
    ["pa/ss", "12/34", "p#ss", "12#34", "p?ss", "a/b@c", "#1", "1/2#3?4@5"],
    ids=lambda text: quote(text, ""),
)
@pytest.mark.parametrize("host", ["10.0.0.5", "cam.local:554"])
def test_a_password_whose_end_is_unclear_is_refused_with_the_escaped_form(password: str, host: str) -> None:
    with pytest.raises(ValueError, match="%2F") as refused:
        StreamUrl.parse(f"rtsp://admin:{password}@{host}/live")
    assert password not in str(refused.value)


@pytest.mark.parametrize("written", ["rtsp:///live", "rtsp://", "rtsp://admin:pw@/live", "rtsp://host:port/x"])
def test_a_url_without_a_usable_host_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="host"):
        StreamUrl.parse(written)


@given(user=st.text(min_size=1, max_size=8), password=st.text(max_size=12))
def test_an_escaped_login_survives(user: str, password: str) -> None:
    url = StreamUrl.parse(f"rtsp://{quote(user, '')}:{quote(password, '')}@10.0.0.5/x")
    found_user, _, found_password = url.login.partition(":")
    assert (unquote(found_user), unquote(found_password)) == (user, password)
