"""Stored API keys: the file, the command, and what a key may do."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import cli
from relay.api.auth import Keys
from relay.api.keys import Holder, KeyFile, Pace, StoredKeys, digest, lacks_key
from relay.errors import BadRequest, RateLimited, Unauthorized
from relay.settings import Settings
from tests.api.conftest import Served
from tests.api.raw import CHAT, body, error_of


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


# the file


def test_a_key_is_stored_by_its_hash_only(tmp_path: Path) -> None:
    key, stored = KeyFile(tmp_path).create(name="Anna", sites=["kimi", "demo", "demo"], rpm=3)
    assert key.startswith("rk-") and len(key) >= 3 + 43
    file = tmp_path / "keys.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert key not in file.read_text() and key[3:] not in file.read_text()
    assert KeyFile(tmp_path).read() == [stored]
    assert (stored.sites, stored.rpm, stored.sha256) == (["demo", "kimi"], 3, digest(key).hex())


def test_two_processes_lose_no_key(tmp_path: Path) -> None:
    """Each makes several at once; all are there afterwards."""
    code = "import sys\nfrom pathlib import Path\nfrom relay.api.keys import KeyFile\nsys.stdin.read()\n"
    code += "for _ in range(8): KeyFile(Path(sys.argv[1])).create(name=sys.argv[2])"
    makers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name], stdin=subprocess.PIPE) for name in "ab"
    ]
    for maker in makers:
        assert maker.stdin is not None
        maker.stdin.close()  # both begin
    assert [maker.wait(60) for maker in makers] == [0, 0]
    names = [key.name for key in KeyFile(tmp_path).read() or []]
    assert sorted(names) == ["a"] * 8 + ["b"] * 8


GOOD = {"id": "0" * 12, "name": "", "sha256": "0" * 64, "created": 1, "sites": [], "rpm": None}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"version": 1}',
        json.dumps({"version": 2, "keys": []}).encode(),
        json.dumps({"version": 1, "keys": [GOOD, GOOD]}).encode(),
        b"[" * 100_000,
        *(
            json.dumps({"version": 1, "keys": [{**GOOD, **wrong}]}).encode()
            for wrong in (
                {"id": "1" * 12},
                {"sha256": "z" * 64},
                {"sha256": "0" * 63},
                {"rpm": 0},
                {"rpm": "5"},
                {"rpm": True},
                {"concurrency": 0},
                {"concurrency": 1.5},
                {"sites": "demo"},
                {"sites": ["../demo"]},
                {"sites": [None]},
                {"admin": True},
                {"created": -1},
            )
        ),
    ],
)
def test_damaged_content_is_said_and_kept(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(content)
    for step in (
        lambda: KeyFile(tmp_path).read(),
        lambda: KeyFile(tmp_path).create(),
        lambda: KeyFile(tmp_path).revoke("0" * 12),
        lambda: StoredKeys(KeyFile(tmp_path)),
        lambda: lacks_key(Settings(_env_file=None, home=tmp_path, host="0.0.0.0")),
    ):
        with pytest.raises(BadRequest, match="damaged"):
            step()
    assert file.read_bytes() == content


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "keys.json").mkdir()
    with pytest.raises(BadRequest, match="not a file"):
        KeyFile(tmp_path).create()


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "a\nb"},
        {"name": "\x1b[31m"},
        {"name": "x" * 101},
        {"rpm": 0},
        {"rpm": 10**9},
        {"concurrency": 10**9},
        {"sites": ["a/b"]},
    ],
)
def test_what_cannot_be_stored_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        KeyFile(tmp_path).create(**wrong)
    assert not (tmp_path / "keys.json").exists()


# the running server


def test_the_server_notices_changes(serve: Callable[..., Served]) -> None:
    served = serve()
    file = KeyFile(served.settings.home)
    with served.client() as http:
        assert http.post(CHAT, json=body()).status_code == 200
        key, stored = file.create(name="first")
        error_of(http.post(CHAT, json=body()), 401, "invalid_api_key")
        for wrong in ("rk-", key[:-1], key + "x", f"{key},{key}", stored.sha256, stored.id):
            error_of(http.post(CHAT, json=body(), headers=bearer(wrong)), 401, "invalid_api_key")
        callers = []
        for _ in range(2):
            assert http.post(CHAT, json=body(), headers=bearer(key)).status_code == 200
            callers.append(served.pool.last.request.caller)
        other, _ = file.create()
        assert http.post(CHAT, json=body(), headers=bearer(other)).status_code == 200
        callers.append(served.pool.last.request.caller)
        assert callers == [f"key-{stored.id}"] * 2 + [callers[2]] and callers[2] != callers[0]
        foreign = http.get("/v1/models", headers={**bearer(key), "origin": "https://page.example"})
        assert foreign.headers["access-control-allow-origin"] == "*", "with a key, as with static ones"
        assert file.revoke(stored.id) == stored
        error_of(http.get("/v1/models", headers=bearer(key)), 401, "invalid_api_key")
        assert http.get("/v1/models", headers=bearer(other)).status_code == 200


def test_revoking_the_last_key_opens_nothing(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, home=tmp_path)
    keys = Keys.of(settings)
    assert not keys and keys.holder("").id == "local"
    _, stored = KeyFile(tmp_path).create()
    KeyFile(tmp_path).revoke(stored.id)
    assert keys
    with pytest.raises(Unauthorized):
        keys.holder("")
    (tmp_path / "keys.json").unlink()
    assert not keys
    assert lacks_key(settings.model_copy(update={"host": "0.0.0.0"}))
    assert Keys.of(settings.model_copy(update={"host": "0.0.0.0"})), "never open beyond this machine"


def test_a_file_that_breaks_under_the_server_changes_nothing(tmp_path: Path) -> None:
    key, stored = KeyFile(tmp_path).create()
    keys = Keys.of(Settings(_env_file=None, home=tmp_path))
    (tmp_path / "keys.json").write_text("half a f")
    assert keys.holder(key).id == f"key-{stored.id}"
    with pytest.raises(Unauthorized):
        keys.holder("rk-other")


def test_static_keys_stay(serve: Callable[..., Served]) -> None:
    served = serve(api_keys=["mine"])
    key, _ = KeyFile(served.settings.home).create()
    with served.client() as http:
        for good in ("mine", key):
            assert http.get("/v1/models", headers=bearer(good)).status_code == 200
        error_of(http.get("/v1/models", headers=bearer("other")), 401, "invalid_api_key")


def test_a_key_for_some_sites(serve: Callable[..., Served]) -> None:
    served = serve()
    key, _ = KeyFile(served.settings.home).create(sites=["kimi"])
    with served.client(headers=bearer(key)) as http:
        refused = error_of(http.post(CHAT, json=body("demo")), 403, "site_not_allowed")
        assert refused["param"] == "model" and "kimi" in refused["message"]
        assert served.pool.chats == []
        error_of(http.post(CHAT, json=body("demo", stream=True)), 403, "site_not_allowed")
        error_of(http.get("/v1/models/demo"), 403, "site_not_allowed")
        assert http.get("/v1/models").json()["data"] == []
        assert [model["id"] for model in http.get("/v1/models?all=true").json()["data"]] == ["kimi"]
        assert http.get("/health").json()["accounts"] == []
        error_of(http.get("/metrics"), 403, "site_not_allowed")
        error_of(http.post(CHAT, json=body("kimi")), 503, "no_account_available")  # it may; there is none


# chats a minute


def test_chats_a_minute(serve: Callable[..., Served]) -> None:
    served = serve()
    clock = Clock()
    served.app.state.keys.pace = Pace(clock)
    key, _ = KeyFile(served.settings.home).create(rpm=2)
    free, _ = KeyFile(served.settings.home).create()
    with served.client(headers=bearer(key)) as http:
        assert http.post(CHAT, json=body()).status_code == 200
        clock.now_s += 20
        assert http.post(CHAT, json=body()).status_code == 200
        refused = http.post(CHAT, json=body())
        error_of(refused, 429, "rate_limit_exceeded")
        assert (refused.headers["retry-after"], refused.headers["retry-after-ms"]) == ("40", "40000")
        assert http.get("/v1/models").status_code == 200, "no chat"
        assert http.post(CHAT, json=body(), headers=bearer(free)).status_code == 200, "another key"
        clock.now_s += 40
        assert http.post(CHAT, json=body()).status_code == 200
        error_of(http.post(CHAT, json=body()), 429, "rate_limit_exceeded")


@given(st.integers(1, 5), st.lists(st.floats(0, 90), max_size=60))
def test_never_more_in_any_minute_and_the_wait_is_honest(rpm: int, steps: list[float]) -> None:
    clock = Clock()
    pace, holder = Pace(clock), Holder("key-x", rpm=rpm)
    passed: list[float] = []
    for step in steps:
        clock.now_s += step
        try:
            pace.spend(holder)
        except RateLimited as error:
            assert error.retry_after_s is not None and 0 < error.retry_after_s <= 60
            clock.now_s += error.retry_after_s + 1e-6
            pace.spend(holder)  # as promised
        passed.append(clock.now_s)
    for at, later in zip(passed, passed[rpm:], strict=False):
        assert later - at >= 60 - 1e-6


def test_a_limit_that_is_lowered_counts_at_once() -> None:
    clock = Clock()
    pace = Pace(clock)
    for _ in range(10):
        pace.spend(Holder("key-x", rpm=10))
        clock.now_s += 1
    with pytest.raises(RateLimited) as caught:
        pace.spend(Holder("key-x", rpm=2))
    assert caught.value.retry_after_s == 58  # until the last but one is a minute old
    pace.spend(Holder("key-x"))  # no limit any more


# the command


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """`relay keys …` on a home of its own: (exit status, output, errors)."""
    for name in [name for name in os.environ if name.startswith("RELAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RELAY_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def execute(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = cli.run(["keys", *arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    return execute


def test_the_command(keys: Callable[..., tuple[int, str, str]]) -> None:
    assert keys("list") == (0, "No key is stored. `relay keys create` makes one.\n", "")
    status, said, _ = keys("create", "--name", "Anna's phone", "--sites", "demo, kimi", "--rpm", "20")
    assert status == 0 and "Anna's phone" in said and said.count("rk-") == 1
    made = json.loads(keys("create", "--json")[1])
    assert made["key"].startswith("rk-") and made["sites"] == [] and made["rpm"] is None
    _, listed, _ = keys("list", "--json")
    assert [key["name"] for key in json.loads(listed)] == ["Anna's phone", ""]
    assert "rk-" not in listed and "sha256" not in listed
    table = keys("list")[1]
    assert "demo, kimi" in table and "no limit" in table and "rk-" not in table
    assert keys("revoke", made["id"])[:2] == (0, f"Revoked {made['id']}.\n")
    assert keys("revoke", made["id"])[0] == 1
    assert json.loads(keys("revoke", json.loads(listed)[0]["id"], "--json")[1])["left"] == 0
    assert json.loads(keys("list", "--json")[1]) == []


@pytest.mark.parametrize(
    "wrong",
    [
        ("create", "--sites", "nowhere"),
        ("create", "--sites", ","),
        ("create", "--rpm", "0"),
        ("create", "--concurrency", "0"),
        ("create", "--name", "a\nb"),
    ],
)
def test_wrong_use(keys: Callable[..., tuple[int, str, str]], wrong: tuple[str, ...]) -> None:
    status, said, complaint = keys(*wrong)
    assert (status, said) == (2, "") and complaint and "Traceback" not in complaint


def test_a_key_with_a_newline_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from relay.cli.server import ServerClient

    monkeypatch.setenv("RELAY_API_KEY", "rk-one\nx-evil: 1")
    with pytest.raises(BadRequest, match="RELAY_API_KEY"):
        ServerClient.at("http://127.0.0.1:1")


def test_the_owners_socket_needs_no_key(serve: Callable[..., Served]) -> None:
    served = serve(api_keys=["mine"])
    KeyFile(served.settings.home).create(sites=["kimi"], rpm=1)
    with served.owners_client() as http:
        for _ in range(3):
            assert http.post(CHAT, json=body()).status_code == 200
        assert served.pool.last.request.caller == "local"
        assert "accounts" in http.get("/health").json()
    assert httpx.post(f"{served.url}{CHAT}", json=body()).status_code == 401
