"""The owner's socket: who may open it, what it leaves behind, and that nothing on TCP passes for it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from relay.api.local import LocalServer
from relay.cli.server import ServerClient, account_path, error_of
from relay.errors import (
    AccountNotFound,
    BadRequest,
    BrowserFault,
    NoAccount,
    NotLoggedIn,
    RelayError,
    SiteChanged,
    SiteUnavailable,
)
from relay.settings import Settings
from tests.api.conftest import Served
from tests.api.raw import error_of as check_error

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no such socket")


async def hello(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
    """An application that says whether the caller is the owner."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(scope.get("relay.owner")).encode()})


def asked(path: Path) -> str:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://relay") as http:
        return http.get("/").text


def names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


async def test_only_the_owner_may_open_it(tmp_path: Path) -> None:
    path = tmp_path / "relay.sock"
    async with LocalServer(hello, path, grace_s=1):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert await asyncio.to_thread(asked, path) == "True"
        assert names(tmp_path) == ["relay.sock"]
    assert not path.exists()


async def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "relay.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    assert path.is_socket()
    async with LocalServer(hello, path, grace_s=1):
        assert await asyncio.to_thread(asked, path) == "True"


async def test_another_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "relay.sock"
    path.write_text("mine")
    async with LocalServer(hello, path) as local:
        assert "down" in repr(local)
    assert path.read_text() == "mine"


async def test_a_socket_that_another_has_put_there_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "relay.sock"
    with socket.socket(socket.AF_UNIX) as other:
        async with LocalServer(hello, path, grace_s=1):
            path.unlink()
            other.bind(str(path))
        assert path.is_socket()


async def test_too_long_a_path_means_no_socket(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    async with LocalServer(hello, folder / "relay.sock") as local:
        assert "down" in repr(local)
    assert names(folder) == []
    assert ServerClient.find(Settings(_env_file=None, home=folder)) is None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"relay.owner": "1"},
        {"x-relay-owner": "true"},
        {"x-forwarded-for": "unix:"},
        {"forwarded": "for=unix"},
        {"relay-owner": "True", "x-real-ip": "", "authorization": "Bearer local"},
    ],
)
def test_nothing_on_tcp_passes_for_the_owner(relay: Served, headers: dict[str, str]) -> None:
    with relay.client(headers=headers) as http:
        for path in ("/admin/api/accounts", "/admin/api/accounts?relay.owner=1"):
            check_error(http.get(path), 401, "not_logged_in")
        # The name that the socket answers to is no name of ours elsewhere.
        assert http.get("/admin/api/accounts", headers={"host": "relay"}).status_code == 403


@pytest.mark.parametrize("host", ["relay", "localhost", "relay:80"])
def test_names_on_the_socket(relay: Served, host: str) -> None:
    with relay.owners_client() as http:
        assert http.get("/admin/api/accounts", headers={"host": host}).status_code == 200
        assert http.get("/ping", headers={"host": "evil.example"}).status_code == 403


# the client for commands


def test_the_client(relay: Served) -> None:
    with ServerClient.find(relay.settings) or pytest.fail("not found") as server:
        assert server.where == str(relay.settings.socket)
        assert server.get("/admin/api/session")["via"] == "socket"
        assert server.post(account_path("demo/default", "park"))["reason"] == "parked"
        assert server.post(account_path("demo/default", "resume"))["state"] == "ready"
        with pytest.raises(AccountNotFound, match="no account 'demo/none'"):
            server.post(account_path("demo/none", "check"))
        with pytest.raises(AccountNotFound):
            server.delete(account_path("demo/none"))
        with pytest.raises(BrowserFault):
            server.post(account_path("demo/faulty", "check"))
        with pytest.raises(RelayError, match="no route"):
            server.get("/nothing")
        ticket = server.post(account_path("demo/default", "login"))
        assert ticket["url"] == f"{relay.url}/login/s3cret"


def test_the_client_by_address(serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch) -> None:
    served = serve(api_keys=["mine"])
    with (
        ServerClient.find(served.settings, served.url) or pytest.fail("not found") as server,
        pytest.raises(NotLoggedIn),
    ):
        server.get("/admin/api/accounts")
    monkeypatch.setenv("RELAY_API_KEY", "mine")
    with ServerClient.find(served.settings, served.url) or pytest.fail("not found") as server:
        assert server.get("/admin/api/session")["via"] == "key"
        assert server.post(account_path("demo/default", "check"))["name"] == "demo/default"


def test_no_server(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, home=tmp_path)
    assert ServerClient.find(settings) is None
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(settings.socket))
    assert ServerClient.find(settings) is None, "nobody listens"
    with pytest.raises(SiteUnavailable, match="No server answers"):
        ServerClient.find(settings, "http://127.0.0.1:9")
    for wrong in ("http://[", "http://a:b"):
        with pytest.raises((BadRequest, SiteUnavailable)):
            ServerClient.find(settings, wrong)


@pytest.mark.parametrize("name", ["demo", "demo/", "/a", "a/b/c", ""])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(BadRequest):
        account_path(name)
    assert account_path("demo/ä b?") == "/admin/api/accounts/demo/%C3%A4%20b%3F"


def test_errors_come_back_as_what_they_were() -> None:
    for kind in (AccountNotFound, NoAccount, SiteChanged, BadRequest):
        body = f'{{"error": {{"message": "m", "type": "t", "param": null, "code": "{kind.code}"}}}}'
        error = error_of(kind.status, body.encode())
        assert type(error) is kind and error.message == str(error) == "m"
    assert type(error_of(500, b'{"error": {"message": "m", "code": "new"}}')) is RelayError
    assert "HTTP 502" in error_of(502, b"<html>").message


def test_serve_makes_and_removes_it(tmp_path: Path) -> None:
    """The real command: socket, password shown once on standard output, never in the log."""
    home = tmp_path / "home"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
    sandbox = "false" if os.geteuid() == 0 else "true"
    environment = {**kept, "RELAY_HOME": str(home), "RELAY_PORT": "0", "RELAY_BROWSER__SANDBOX": sandbox}

    def start(**more: str) -> tuple[str, str]:
        """Run a server until its socket has answered; what it printed and what it logged."""
        server = subprocess.Popen(
            [sys.executable, "-m", "relay", "serve"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**environment, **more},
            cwd=tmp_path,
        )
        assert server.stderr is not None
        log = []
        for line in iter(server.stderr.readline, ""):
            log.append(line)
            if "listening on" in line:
                break
        settings = Settings(_env_file=None, home=home)
        with ServerClient.find(settings) or pytest.fail("".join(log)) as client:
            assert client.get("/admin/api/accounts")["accounts"] == []
        server.send_signal(signal.SIGTERM)
        printed, rest = server.communicate(timeout=40)
        assert server.returncode == 0
        assert not settings.socket.exists()
        return printed, "".join(log) + rest

    printed, log = start()
    password = printed.split("\n\n")[1].strip()
    assert len(password) == 24 and password not in log
    assert password not in (home / "admin.json").read_text()
    # In the image, beyond loopback, there is a first key; the password is known already. (This address is taken for one
    # of the network, though nobody out there reaches it.)
    image = {"RELAY_IN_IMAGE": "1", "RELAY_HOST": "127.0.0.2", "RELAY_BROWSER__DIRECT_CDP": "false"}
    printed, log = start(**image)
    key = printed.split("\n\n")[1].strip()
    assert key.startswith("rk-") and printed.count("shown this once") == 1
    assert key not in log and key not in (home / "keys.json").read_text()
    assert start(**image)[0] == ""
