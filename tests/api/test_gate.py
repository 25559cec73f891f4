"""Host, Origin, keys: who may come in."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from pydantic import SecretStr

from relay.api.auth import Keys
from relay.api.keys import KeyFile, lacks_key
from relay.cli.serve import run_forever
from relay.errors import Unauthorized
from relay.settings import Settings
from tests.api.conftest import Served
from tests.api.raw import CHAT, body, error_of

PAGE = "https://page.example"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9999", "127.0.0.1.evil.example", "a b", "", "[::1"])
@pytest.mark.parametrize("path", ["/ping", "/v1/models", "/docs", "/nothing"])
def test_foreign_host(http: httpx.Client, host: str, path: str) -> None:
    response = http.get(path, headers={"host": host})
    # An unreadable Host never gets as far as us.
    assert response.status_code in (400, 403)
    if response.status_code == 403:
        error_of(response, 403, "forbidden")


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:9", "[::1]:9999", "192.168.1.4", "a.localhost"]
)
def test_own_hosts(http: httpx.Client, host: str) -> None:
    assert http.get("/ping", headers={"host": host}).text == "pong"


def test_allowed_hosts(serve: Callable[..., Served]) -> None:
    with serve(allowed_hosts=["relay.example"]).client() as http:
        assert http.get("/ping", headers={"host": "relay.example"}).status_code == 200
        assert http.get("/ping", headers={"host": "other.example"}).status_code == 403


@pytest.mark.parametrize("origin", [PAGE, "null", "http://localhost:3000", "chrome-extension://abc"])
def test_foreign_origin_without_keys(http: httpx.Client, relay: Served, origin: str) -> None:
    before = len(relay.pool.chats)
    response = http.post(CHAT, json=body(), headers={"origin": origin})
    error_of(response, 403, "forbidden")
    assert "access-control-allow-origin" not in response.headers
    assert len(relay.pool.chats) == before
    preflight = http.options(CHAT, headers={"origin": origin, "access-control-request-method": "POST"})
    assert preflight.status_code == 403


def test_own_origin(http: httpx.Client, relay: Served) -> None:
    assert http.post(CHAT, json=body(), headers={"origin": relay.url}).status_code == 200


def test_cors_with_keys(serve: Callable[..., Served]) -> None:
    with serve(api_keys=["rk-one"]).client() as http:
        preflight = http.options(
            CHAT,
            headers={
                "origin": PAGE,
                "access-control-request-method": "POST",
                "access-control-request-headers": "authorization, x-stainless-lang, X-Odd",
            },
        )
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == "*"
        assert preflight.headers["access-control-allow-headers"] == "authorization, x-stainless-lang, x-odd"
        refused = http.post(CHAT, json=body(), headers={"origin": PAGE})
        error_of(refused, 401, "invalid_api_key")
        assert refused.headers["access-control-allow-origin"] == "*"
        assert "x-request-id" in refused.headers["access-control-expose-headers"]
        assert "retry-after" in refused.headers["access-control-expose-headers"]
        headers = {"origin": PAGE, "authorization": "Bearer rk-one"}
        assert http.post(CHAT, json=body(), headers=headers).headers["access-control-allow-origin"] == "*"


def test_listed_origins(serve: Callable[..., Served]) -> None:
    with serve(cors_origins=[PAGE]).client() as http:
        allowed = http.get("/v1/models", headers={"origin": PAGE})
        assert allowed.headers["access-control-allow-origin"] == PAGE
        assert http.get("/v1/models", headers={"origin": "https://other.example"}).status_code == 403


def chat_with(served: Served, header: str | None) -> int:
    """The status of a chat with this Authorization; httpx would refuse to send the odd ones."""
    address = urlsplit(served.url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=10)
    headers = {} if header is None else {"authorization": header}
    connection.request("POST", CHAT, json.dumps(body()).encode(), headers)
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize("header", [None, "Bearer ", "Bearer", "Bearer anything", "Basic x", ""])
def test_without_keys_all_are_the_owner(relay: Served, header: str | None) -> None:
    assert chat_with(relay, header) == 200
    assert relay.pool.last.request.caller == "local"


def test_with_keys(serve: Callable[..., Served]) -> None:
    served = serve(api_keys=["rk-one", "rk-two"])
    with served.client() as http:
        for header in (None, "", "Bearer ", "Bearer rk-thre", "Basic rk-one", "Bearer rk-one,rk-two", "Bearer ключ"):
            assert chat_with(served, header and header.encode().decode("latin-1")) == 401
        refused = http.post(CHAT, json=body())
        error_of(refused, 401, "invalid_api_key")
        assert refused.headers["www-authenticate"] == "Bearer"
        assert served.pool.chats == []
        error_of(http.get("/v1/models"), 401, "invalid_api_key")
        callers = []
        for headers in (
            {"authorization": "Bearer rk-one"},
            {"authorization": "bearer rk-two"},
            {"x-api-key": "rk-one"},
        ):
            assert http.post(CHAT, json=body(), headers=headers).status_code == 200
            callers.append(served.pool.last.request.caller)
        assert callers[0] == callers[2] != callers[1]
        assert "rk-one" not in callers[0]
        assert http.get("/ping").status_code == 200
        assert "accounts" not in http.get("/health").json()
        assert "accounts" in http.get("/health", headers={"authorization": "Bearer rk-one"}).json()


def test_a_key_is_needed_beyond_this_machine(tmp_path: Path) -> None:
    open_to_all = Settings(_env_file=None, host="0.0.0.0", home=tmp_path)
    assert lacks_key(open_to_all)
    with pytest.raises(Unauthorized, match="RELAY_API_KEYS"):
        run_forever(open_to_all, lambda url: pytest.fail(f"it serves at {url}"))
    assert not lacks_key(Settings(_env_file=None, host="0.0.0.0", home=tmp_path, api_keys=[SecretStr("k")]))
    assert not lacks_key(Settings(_env_file=None, host="127.0.0.1", home=tmp_path))
    assert not Keys([""])
    KeyFile(tmp_path).create()
    assert not lacks_key(open_to_all)


@pytest.mark.parametrize(("sent", "kept"), [("abc-1:2.3_X", True), ("a b", False), ("x" * 129, False), ("é", False)])
def test_request_ids(http: httpx.Client, sent: str, kept: bool) -> None:
    got = http.get("/ping", headers={b"x-request-id": sent.encode()}).headers["x-request-id"]
    assert (got == sent) is kept
    assert got
