"""`relay accounts`, with a running server and without one, with right and wrong input."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from relay.demo import session_cookie
from tests.e2e import accounts
from tests.e2e.relay_server import RelayServer, environment
from tests.e2e.world import World

Done = subprocess.CompletedProcess[str]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "browser_profiles").mkdir()
    return tmp_path


@pytest.fixture
def relay(home: Path) -> Iterator[RelayServer]:
    server = RelayServer(home, {})
    server.start(ready=False)
    yield server
    server.process.end()
    assert "Traceback" not in server.log


def cli(home: Path, *arguments: str, given: str | None = None, **settings: str) -> Done:
    """`relay accounts ...` as a person runs it."""
    command = [sys.executable, "-m", "relay", "accounts", *arguments]
    env = environment({"RELAY_HOME": str(home), **settings})
    return subprocess.run(
        command, cwd=home, env=env, input=given, capture_output=True, text=True, encoding="utf-8", timeout=90
    )


def good(done: Done) -> str:
    """What it says on standard output."""
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout.replace(": busy", ": ready")  # the server may be at a chore of its own with it


def refused(done: Done, *words: str, status: int = 2) -> None:
    """It says what is wrong, in a line."""
    assert done.returncode == status, done
    assert done.stderr.count("\n") <= 3
    for word in words:
        assert word in done.stderr


def state_file(world: World, folder: Path) -> Path:
    """A login at the demo site, in a file."""
    made = accounts.demo(folder, world.demo.address, world.secret)
    return (made / "state.json").rename(folder / "login.json")


def rows(home: Path) -> dict[str, dict[str, object]]:
    return {row["name"]: row for row in json.loads(good(cli(home, "list", "--json")))}


def test_a_life_without_a_server(world: World, home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    file, address = state_file(world, tmp_path_factory.mktemp("login")), f"{world.demo.address}/"
    assert "No account yet" in cli(home, "list").stderr
    added = cli(
        home, "add", "demo", "--account", "ann", "--state", str(file), "--base-url", address, "--label", "Ann’s"
    )
    assert "demo/ann was added" in good(added)
    folder = home / "browser_profiles" / "demo" / "ann"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}.items() >= {
        "account.toml": 0o600,
        "state.json": 0o600,
    }.items()
    refused(cli(home, "add", "demo", "--account", "ann"), "there already", "relay login")
    assert good(cli(home, "check")) == "demo/ann: ready (demo)\n"
    assert good(cli(home, "park", "demo")) == "demo/ann: disabled: parked by its owner.\n"
    assert rows(home)["demo/ann"]["reason"] == "parked"
    assert "disabled (parked)" in good(cli(home, "list"))
    assert cli(home, "check", "demo/ann").returncode == 1
    assert good(cli(home, "resume", "demo/ann")) == "demo/ann: ready (demo)\n"
    assert rows(home)["demo/ann"]["reason"] == ""
    # To another machine: the file brings login and account.toml along.
    moved, other = home / "moved.json", tmp_path_factory.mktemp("other")
    assert "password" in cli(home, "export", "demo/ann", "-o", str(moved)).stderr
    assert stat.S_IMODE(moved.stat().st_mode) == 0o600
    sealed = {"RELAY_PROFILE_KEY": "a passphrase"}
    good(cli(other, "add", "demo", "--account", "bob", "--state", str(moved), **sealed))
    assert (other / "browser_profiles/demo/bob/account.toml").read_text() == (folder / "account.toml").read_text()
    assert not (other / "browser_profiles/demo/bob/state.json").exists()
    assert good(cli(other, "check", **sealed)) == "demo/bob: ready (demo)\n"
    assert cli(other, "remove", "demo/bob", given="n\n").returncode == 1
    assert (other / "browser_profiles/demo/bob").exists()
    assert good(cli(other, "remove", "demo/bob", "-y")) == "demo/bob: removed\n"
    assert not (other / "browser_profiles/demo/bob").exists()


def test_a_running_server_takes_part(
    world: World, home: Path, relay: RelayServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    address = f"{world.demo.address}/"
    token = session_cookie(world.secret, "demo")[1]
    added = cli(home, "add", "demo", "--base-url", address, "--token-stdin", given=f"{token}\n")
    assert good(added) == "demo/default: ready (demo)\n"
    chat = {"model": "demo", "messages": [{"role": "user", "content": "hello"}]}
    with httpx.Client(base_url=relay.url, trust_env=False, timeout=60) as client:
        assert client.post("/v1/chat/completions", json=chat).status_code == 200
        # A new login for an account that serves: the server lets go of it, and takes it up again.
        file = state_file(world, tmp_path_factory.mktemp("login"))
        assert good(cli(home, "add", "demo", "--state", str(file))) == "demo/default: ready (demo)\n"
        assert good(cli(home, "park", "demo")).startswith("demo/default: disabled")
        parked = client.post("/v1/chat/completions", json=chat)
        assert (parked.status_code, parked.json()["error"]["code"]) == (503, "no_account_available")
        assert good(cli(home, "resume", "demo")) == "demo/default: ready (demo)\n"
        assert client.post("/v1/chat/completions", json=chat).status_code == 200
        # By hand, as ever: found when it is asked for.
        accounts.demo(home, world.demo.address, world.secret, "late")
        refused(cli(home, "resume", "demo/late"), "no account", status=1)
        assert good(cli(home, "remove", "demo/default", "-y")) == "demo/default: removed\n"
        gone = client.post("/v1/chat/completions", json=chat)
        assert (gone.status_code, gone.json()["error"]["code"]) == (503, "no_account_available")
    assert not (home / "browser_profiles" / "demo" / "default").exists()
    assert token not in relay.log


def test_a_login_that_is_none_leaves_nothing(world: World, home: Path, tmp_path: Path) -> None:
    address = f"{world.demo.address}/"
    add = ("add", "demo", "--base-url", address)
    dead = session_cookie("another secret", "demo")[1]
    refused(cli(home, *add, "--token-stdin", given=dead), "Nothing was added", status=1)
    for token, word in {
        "": "No token",
        "\n\n": "No token",
        "two\nlines": "one line",
        "not-a-token": "shape",
        "x" * 1_000_000: "at most",
        "nul\x00": "one line",
    }.items():
        refused(cli(home, *add, "--token-stdin", given=token), word)
    file = tmp_path / "state.json"
    whole = json.dumps({"cookies": [{"name": "a", "value": "hunter2", "domain": "example.org", "path": "/"}]})
    for content, word in {
        whole: "example.org",
        whole[:40]: "JSON",
        "": "empty",
        "[" * 100_000: "nest",
        '{"cookies": [], "origins": []}': "no cookies",
    }.items():
        file.write_text(content)
        done = cli(home, *add, "--state", str(file))
        refused(done, str(file))
        assert "hunter2" not in done.stderr, word
    refused(cli(home, *add, "--state", str(tmp_path / "nothing.json")), "does not exist")
    refused(cli(home, *add, "--state", str(file), "--token-stdin"), "exclude")
    assert list((home / "browser_profiles").rglob("*")) == []


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("add", "kimmi"), "Did you mean 'kimi'"),
        (("add", "demo", "--account", "../../etc"), "no account name"),
        (("add", "demo", "--account", "a/b"), "no account name"),
        (("add", "demo", "--account", ".hidden"), "no account name"),
        (("add", "gradio"), "--base-url"),
        (("add", "demo", "--proxy", "no address"), "http://host:port"),
        (("add", "gradio", "--base-url", "example.org"), "https://"),
        (("check", "demo"), "no account of 'demo'"),
        (("check", "../../../etc/passwd"), "no site"),
        (("park", "demo/nobody"), "no account"),
        (("remove", "demo/..", "-y"), "no account name"),
        (("export", "demo/nobody"), "no saved login"),
    ],
)
def test_wrong_words_are_explained(home: Path, arguments: tuple[str, ...], word: str) -> None:
    done = cli(home, *arguments)
    assert done.returncode in (1, 2), done
    assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert list((home / "browser_profiles").rglob("*")) == []
