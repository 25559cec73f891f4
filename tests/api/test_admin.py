"""`/admin/api`: who may, from which page, and what it does; the login and its sessions under attack."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from relay.api.admin_login import ABSOLUTE_S, COOKIE, IDLE_S, AdminLogin
from relay.api.auth import is_own_page
from relay.api.keys import KeyFile
from relay.chat.events import Quota
from relay.pool.face import AccountStatus
from tests.api.conftest import Served
from tests.api.raw import error_of
from tests.api.test_keys import Clock, bearer

LOGIN, ACCOUNTS = "/admin/api/login", "/admin/api/accounts"
ONE = f"{ACCOUNTS}/demo/default"
PASSWORD = "correct horse"
FOREIGN = "https://page.example"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    server = Served(admin_password=PASSWORD)
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def fresh(served: Served) -> Iterator[Clock]:
    """The login as after a start, and its clock; one account."""
    clock = Clock()
    served.app.state.admin_login = AdminLogin(served.settings, clock)
    served.pool.accounts.clear()
    served.pool.accounts["demo/default"] = AccountStatus(
        "demo", "default", "ready", label="a@b.c", chats=1, tabs=2, quotas=(Quota("5h", 0.12, 2e9),)
    )
    served.pool.owner.calls.clear()
    yield clock


def page(served: Served, **options: Any) -> httpx.Client:
    """A client that says, as a browser does, that it is the admin page."""
    return served.client(headers={"origin": served.url}, **options)


@pytest.fixture
def admin(served: Served) -> Iterator[httpx.Client]:
    with page(served) as http:
        assert http.post(LOGIN, json={"password": PASSWORD}).status_code == 200
        yield http


# what it does


def test_accounts(admin: httpx.Client, served: Served) -> None:
    served.pool.accounts["demo/tired"] = AccountStatus(
        "demo", "tired", "login_needed", "it died", reason="expired", since=1.5, until=None
    )
    listed = admin.get(ACCOUNTS)
    assert listed.headers["cache-control"] == "no-store"
    got = listed.json()
    assert (got["waiting"], got["running"], got["browser"], got["ready"]) == (0, 0, "chromium", True)
    assert got["version"]
    assert got["accounts"] == [
        {"name": "demo/default", "site": "demo", "account": "default", "state": "ready", "reason": "", "why": "",
         "label": "a@b.c", "chats": 1, "tabs": 2, "until": None, "since": None,
         "quotas": [{"window": "5h", "used": 0.12, "resets_at": 2e9}]},
        {"name": "demo/tired", "site": "demo", "account": "tired", "state": "login_needed", "reason": "expired",
         "why": "it died", "label": "", "chats": 0, "tabs": 0, "until": None, "since": 1.5,
         "quotas": []},
    ]  # fmt: skip
    assert "demo" in admin.get("/admin/api/models").json()["models"]


@pytest.mark.parametrize(
    ("verb", "call", "state"),
    [("check", "check", "ready"), ("park", "park", "disabled"), ("resume", "resume", "ready"),
     ("take-up", "take_up", "ready"), ("take-back", "take_back", "ready")],
)  # fmt: skip
def test_what_the_owner_does(admin: httpx.Client, served: Served, verb: str, call: str, state: str) -> None:
    got = admin.post(f"{ONE}/{verb}", json={}).json()
    assert (got["name"], got["state"]) == ("demo/default", state)
    assert served.pool.owner.calls == [(call, "demo/default")]


def test_lend_remove_and_login(admin: httpx.Client, served: Served) -> None:
    ticket = admin.post(f"{ONE}/login", json={}).json()
    assert ticket == {"url": f"{served.url}/login/s3cret", "path": "/login/s3cret", "expires": 2e9}
    assert admin.post(f"{ONE}/lend", json={}).json() == {}
    error_of(admin.post(f"{ONE}/login", json={}), 503, "no_account_available")
    assert admin.delete(ONE, headers={"x-relay-admin": "1"}).json() == {}
    error_of(admin.post(f"{ONE}/check", json={}), 404, "account_not_found")
    error_of(admin.post(f"{ACCOUNTS}/demo/faulty/check", json={}), 502, "browser_fault")
    error_of(admin.post(f"{ONE}/explode", json={}), 404, "unknown_url")
    error_of(admin.get(f"{ONE}/check"), 405, "method_not_allowed")
    error_of(admin.post(f"{ACCOUNTS}/demo/a%2Fb/check", json={}), 404, "unknown_url")


def test_texts_of_sites_are_no_trouble(admin: httpx.Client, served: Served) -> None:
    served.pool.accounts["demo/odd"] = AccountStatus(
        "demo", "odd", "broken", "half a \ud83d, <b>\u2028", reason="damaged"
    )
    got = admin.get(ACCOUNTS)
    assert got.json()["accounts"][1]["why"] == "half a \ud83d, <b>\u2028"


def test_addresses_of_logins(serve: Callable[..., Served]) -> None:
    served = serve(public_url="https://relay.example/", allowed_hosts=["relay.example"])
    with served.owners_client() as http:
        assert http.post(f"{ONE}/login", json={}).json()["url"] == "https://relay.example/login/s3cret"


# who may


ROUTES = [
    ("GET", ACCOUNTS), ("GET", "/admin/api/models"), ("GET", "/admin/api/session"), ("DELETE", ONE),
    *(("POST", f"{ONE}/{verb}") for verb in ("check", "park", "resume", "take-up", "lend", "take-back", "login")),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nobody_else(served: Served, method: str, path: str) -> None:
    """Also where chats need no key."""
    with page(served) as http:
        for headers in ({}, bearer("anything"), bearer(PASSWORD), {"cookie": f"{COOKIE}={'A' * 43}"}):
            error_of(http.request(method, path, json={}, headers=headers), 401, "not_logged_in")
    assert served.pool.owner.calls == []


def test_static_keys_may_stored_ones_not(serve: Callable[..., Served]) -> None:
    served = serve(api_keys=["mine"])
    stored, _ = KeyFile(served.settings.home).create()
    with served.client() as http:
        assert http.get(ACCOUNTS, headers=bearer("mine")).status_code == 200
        assert http.post(f"{ONE}/park", json={}, headers=bearer("mine")).json()["reason"] == "parked"
        assert http.get("/v1/models", headers=bearer(stored)).status_code == 200
        error_of(http.get(ACCOUNTS, headers=bearer(stored)), 401, "not_logged_in")
        error_of(http.post(f"{ONE}/park", json={}, headers=bearer(stored)), 401, "not_logged_in")


def test_the_cookie(served: Served) -> None:
    with page(served) as http:
        cookie = http.post(LOGIN, json={"password": PASSWORD}).headers["set-cookie"]
        assert {part.strip().lower() for part in cookie.split(";")[1:]} == {
            "httponly",
            "path=/admin",
            "samesite=strict",
        }
        token = http.cookies[COOKIE]
        assert len(token) >= 43
        assert http.get("/admin/api/session").json()["via"] == "session"
        ended = http.post("/admin/api/logout", json={})
        assert "max-age=0" in ended.headers["set-cookie"].lower()
        error_of(http.get(ACCOUNTS, headers={"cookie": f"{COOKIE}={token}"}), 401, "not_logged_in")
        assert http.post("/admin/api/logout", json={}).status_code == 200, "twice is no error"


def test_the_cookie_is_for_tls_only_where_there_is_tls(serve: Callable[..., Served]) -> None:
    served = serve(public_url="https://relay.example", admin_password=PASSWORD, allowed_hosts=["relay.example"])
    with served.client() as http:
        for headers, secure in (
            ({"host": "relay.example", "origin": "https://relay.example"}, True),
            ({"origin": "https://relay.example"}, True),  # a proxy that changes the Host
            ({"origin": served.url}, False),
        ):
            cookie = http.post(LOGIN, json={"password": PASSWORD}, headers=headers).headers["set-cookie"]
            assert ("secure" in cookie.lower()) is secure, headers
        downgraded = {"host": "relay.example", "origin": "http://relay.example"}
        error_of(http.post(LOGIN, json={"password": PASSWORD}, headers=downgraded), 403, "forbidden")


@pytest.mark.parametrize(
    "cookie",
    [
        COOKIE,
        f"{COOKIE}=",
        f"{COOKIE}=\xff\xfe",
        f"{COOKIE}={'x' * 7000}",
        f'{COOKIE}="; {COOKIE}=";',
        f"{COOKIE}=null; other=1",
        f"{COOKIE}[]=1",
        "=;;=;",
        f"{COOKIE}={{}}",
        f"{COOKIE.upper()}=1",
    ],
)
def test_cookies_of_other_shapes(served: Served, cookie: str) -> None:
    with page(served) as http:
        error_of(http.get(ACCOUNTS, headers=[(b"cookie", cookie.encode("latin-1"))]), 401, "not_logged_in")


def test_sessions_end(admin: httpx.Client, fresh: Clock) -> None:
    for _ in range(int(ABSOLUTE_S / (IDLE_S - 60)) - 1):
        fresh.now_s += IDLE_S - 60
        assert admin.get(ACCOUNTS).status_code == 200
    fresh.now_s += IDLE_S
    error_of(admin.get(ACCOUNTS), 401, "not_logged_in")
    fresh.now_s -= IDLE_S
    error_of(admin.get(ACCOUNTS), 401, "not_logged_in")


# from which page


@pytest.mark.parametrize("origin", [FOREIGN, "null", "http://127.0.0.1:1", "", "http://[", "file://", "x" * 3000])
@pytest.mark.parametrize("path", [LOGIN, "/admin/api/logout", f"{ONE}/park"])
def test_cross_origin(admin: httpx.Client, served: Served, path: str, origin: str) -> None:
    refused = admin.post(path, json={"password": PASSWORD}, headers={"origin": origin})
    error_of(refused, 403, "forbidden")
    assert "access-control-allow-origin" not in refused.headers and "set-cookie" not in refused.headers
    assert served.pool.owner.calls == []
    assert admin.get(ACCOUNTS).status_code == 200, "still logged in"


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none", "nonsense"])
def test_fetch_metadata(admin: httpx.Client, site: str) -> None:
    del admin.headers["origin"]
    error_of(admin.post(f"{ONE}/park", json={}, headers={"sec-fetch-site": site}), 403, "forbidden")
    assert admin.post(f"{ONE}/park", json={}, headers={"sec-fetch-site": "same-origin"}).status_code == 200
    error_of(admin.post(f"{ONE}/park", json={}), 403, "forbidden")  # a cookie, and no word of whose page it is


def test_forms_are_refused(admin: httpx.Client, served: Served) -> None:
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", ""):
        content = b'{"password": "correct horse"}'
        for path in (LOGIN, f"{ONE}/park"):
            error_of(admin.post(path, content=content, headers={"content-type": kind}), 403, "forbidden")
    assert served.pool.owner.calls == []
    assert admin.post(f"{ONE}/park", headers={"x-relay-admin": "1"}).status_code == 200


def test_no_cors_ever(serve: Callable[..., Served]) -> None:
    served = serve(api_keys=["mine"], cors_origins=[FOREIGN, "*"])
    asking = {"origin": FOREIGN, "access-control-request-method": "POST"}
    with served.client() as http:
        assert http.options("/v1/models", headers=asking).status_code == 204
        for path in ("/admin", ACCOUNTS, f"{ONE}/park", LOGIN, "/login/x", "/login", "/admin/"):
            for answer in (
                http.options(path, headers=asking),
                http.options(path, headers={**asking, "origin": served.url}),
                http.get(path, headers={"origin": FOREIGN, **bearer("mine")}),
            ):
                assert answer.status_code == 403, (path, answer.text)
                assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("host", ["evil.example", "relay", "127.0.0.1.evil.example"])
def test_dns_rebinding(admin: httpx.Client, host: str) -> None:
    for path in ("/admin", ACCOUNTS):
        error_of(admin.get(path, headers={"host": host, "origin": f"http://{host}"}), 403, "forbidden")
    error_of(
        admin.post(LOGIN, json={"password": PASSWORD}, headers={"host": host, "origin": f"http://{host}"}),
        403,
        "forbidden",
    )


@pytest.mark.parametrize(
    ("origin", "host", "public", "own"),
    [
        ("http://localhost:9999", "localhost:9999", "", True),
        ("HTTP://LocalHost:9999", "localhost:9999", "", True),
        ("http://localhost:9999", "localhost:9998", "", False),
        ("https://relay.example", "127.0.0.1:9999", "https://relay.example/", True),
        ("http://relay.example", "relay.example", "https://relay.example", False),
        ("http://192.168.1.4:9999", "192.168.1.4:9999", "https://relay.example", True),
        ("null", "null", "", False),
        ("", "", "", False),
        ("http://", "", "", False),
        ("file://localhost:9999", "localhost:9999", "", False),
        ("http://localhost:9999.evil.example", "localhost:9999", "", False),
        ("http://a@localhost:9999", "localhost:9999", "", False),
    ],
)
def test_own_pages(origin: str, host: str, public: str, own: bool) -> None:
    assert is_own_page(origin, host, public) is own


# the password


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid_request"),
        (b"{", 400, "invalid_request"),
        (b"[]", 400, "invalid_request"),
        (b'{"password": null}', 400, "invalid_request"),
        (b'{"password": 1}', 400, "invalid_request"),
        (b'{"password": ["correct horse"]}', 400, "invalid_request"),
        (b'{"password": ""}', 400, "invalid_request"),
        (b'{"password": "\\ud800"}', 400, "invalid_request"),
        (b'{"password": "correct horse", "admin": true}', 400, "invalid_request"),
        (b'{"password": "' + b"x" * 1025 + b'"}', 400, "invalid_request"),
        (b'{"password": "' + b"x" * 20_000 + b'"}', 413, "request_too_large"),
        (b'{"password": "correct horse\\u0000"}', 401, "wrong_password"),
        (b'{"password": "Correct horse"}', 401, "wrong_password"),
        ('{"password": "ключ 钥匙"}'.encode(), 401, "wrong_password"),
    ],
)
def test_bodies(served: Served, body: bytes, status: int, code: str) -> None:
    with page(served) as http:
        refused = http.post(LOGIN, content=body, headers={"content-type": "application/json"})
        error = error_of(refused, status, code)
        assert "correct" not in error["message"].lower() and "set-cookie" not in refused.headers


def test_a_flood_of_logins(served: Served, fresh: Clock) -> None:
    with page(served) as http:
        statuses = [http.post(LOGIN, json={"password": f"guess {n}"}).status_code for n in range(12)]
        assert statuses == [401] * 5 + [429] * 7
        refused = http.post(LOGIN, json={"password": PASSWORD})
        error_of(refused, 429, "rate_limit_exceeded")
        assert refused.headers["retry-after"] == "2", "the right one waits too"
        fresh.now_s += 2
        error_of(http.post(LOGIN, json={"password": "guess"}), 401, "wrong_password")
        assert http.post(LOGIN, json={"password": PASSWORD}).headers["retry-after"] == "4"
        fresh.now_s += 4
        assert http.post(LOGIN, json={"password": PASSWORD}).status_code == 200
        assert http.post(LOGIN, json={"password": PASSWORD}).status_code == 200, "forgotten"


def test_guesses_at_once_count_each(served: Served) -> None:
    async def guess_all() -> list[int]:
        async with httpx.AsyncClient(base_url=served.url, headers={"origin": served.url}) as http:
            posts = (http.post(LOGIN, json={"password": "x"}) for _ in range(30))
            return [answer.status_code for answer in await asyncio.gather(*posts)]

    assert sorted(asyncio.run(guess_all())) == [401] * 5 + [429] * 25
