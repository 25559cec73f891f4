"""The `relay` command: what it prints, and how it ends."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from relay import cli
from relay.cli.accounts import used_up
from relay.cli.demo import welcome
from tests.api.conftest import Served
from tests.api.pool import ANSWER
from tests.api.raw import CHAT, body
from tests.api.test_bad_input import PNG


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A home of its own, and none of the caller's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
    return {**kept, "RELAY_HOME": str(tmp_path / "home"), "XDG_STATE_HOME": str(tmp_path / "state")}


REPO = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Ended]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "relay", *arguments]


@pytest.fixture
def run(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Run:
    """A command inside this process: starting Python anew for each costs seconds."""

    def execute(*arguments: str, text: str | None = None, **more: str) -> Ended:
        with monkeypatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("RELAY_")]:
                patch.delenv(name)
            for name, value in {**environment, **more}.items():
                patch.setenv(name, value)
            patch.chdir(tmp_path)
            if text is not None:
                patch.setattr(sys, "stdin", io.StringIO(text))
            capsys.readouterr()
            returncode = cli.run(list(arguments))
        said = capsys.readouterr()
        return Ended(returncode, said.out, said.err)

    return execute


def test_version_and_wrong_use(run: Run) -> None:
    assert run("--version").stdout.startswith("relay ")
    for wrong in (["nonsense"], ["chat"], ["serve", "--port", "x"], ["demo", "--port", "99999"]):
        ended = run(*wrong)
        assert ended.returncode == 2, wrong
        assert "Traceback" not in ended.stderr


def test_serve_help_lists_the_settings(run: Run) -> None:
    said = run("serve", "--help").stdout
    assert "RELAY_QUEUE__MAX_WAIT_S" in said and "[300]" in said
    assert "RELAY_SITES__<ID>__DRIVERS" in said


def test_serve_refuses_what_is_unsafe_or_wrong(run: Run) -> None:
    ended = run("serve", "--host", "0.0.0.0")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "RELAY_API_KEYS" in ended.stderr
    ended = run("serve", RELAY_QUEUE__MAX_WAITING="none")
    assert ended.returncode == 2
    assert "queue.max_waiting" in ended.stderr and "Traceback" not in ended.stderr


def test_sites(run: Run) -> None:
    found = json.loads(run("sites", "--json").stdout)
    demo = next(site for site in found if site["id"] == "demo")
    assert demo["drivers"] and demo["models"] and demo["accounts"] == []
    assert "demo" in run("sites", "demo").stdout
    assert run("sites", "nothing").returncode == 1


def test_chat_streams(run: Run, relay: Served) -> None:
    ended = run("chat", "demo", "hello", "--url", relay.url, "--search", "--think")
    assert (ended.returncode, ended.stdout) == (0, ANSWER)
    request = relay.pool.last.request
    assert request.messages[-1].text == "hello"
    assert request.choice.search and request.choice.thinking


def test_chat_reads_standard_input_and_files(run: Run, relay: Served, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "b.txt").write_text("text")
    files = ["--file", str(tmp_path / "a.png"), "--file", str(tmp_path / "b.txt")]
    ended = run("chat", "demo/echo", *files, "--url", relay.url, text="from a pipe")
    assert ended.stdout.startswith("user: from a pipe<image image/png")
    assert "<file text/plain b.txt 4>" in ended.stdout


def test_chat_keeps_reasoning_out_of_a_pipe(run: Run, relay: Served) -> None:
    ended = run("chat", "demo/rich", "x", "--url", relay.url)
    assert ended.stdout.startswith("It rains")
    assert "Let me think." in ended.stderr


@pytest.mark.parametrize(
    ("model", "said"),
    [("nope", "There is no model"), ("demo/cut", "cut"), ("demo/limited", "limits this account")],
)
def test_chat_says_what_went_wrong(run: Run, relay: Served, model: str, said: str) -> None:
    ended = run("chat", model, "x", "--url", relay.url)
    assert ended.returncode == 1
    assert said in ended.stderr and "Traceback" not in ended.stderr


def test_chat_without_a_server(run: Run) -> None:
    ended = run("chat", "demo", "x", "--url", "http://127.0.0.1:9")
    assert ended.returncode == 1
    assert "relay serve" in ended.stderr


def test_chat_takes_the_key_from_the_environment(run: Run, serve: Callable[..., Served]) -> None:
    served = serve(api_keys=["rk-one"])
    assert run("chat", "demo", "x", "--url", served.url).returncode == 1
    assert run("chat", "demo", "x", "--url", served.url, RELAY_API_KEY="rk-one").stdout == ANSWER


def test_ctrl_c_stops_the_answer(environment: dict[str, str], relay: Served) -> None:
    chat = subprocess.Popen(
        command("chat", "demo/slow", "x", "--url", relay.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=REPO,
    )
    assert chat.stdout is not None
    assert chat.stdout.read(5) == b"begun"
    chat.send_signal(signal.SIGINT)
    _, said = chat.communicate(timeout=20)
    assert chat.returncode == 1
    assert b"stopped" in said and b"Traceback" not in said
    assert relay.pool.last.cancelled.wait(10)


@pytest.fixture
def demo(environment: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`relay demo` with its browser, and its address."""
    server = subprocess.Popen(
        command("demo", "--port", "0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
        cwd=REPO,
    )
    assert server.stdout is not None
    lines = iter(server.stdout.readline, "")
    url = next(line.rpartition(" ")[2].strip() for line in lines if "ready:" in line)
    yield server, url
    if server.poll() is None:
        server.kill()
    server.wait(20)
    server.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_demo_serves_and_leaves_nothing_behind(
    demo: tuple[subprocess.Popen[str], str], environment: dict[str, str], number: signal.Signals
) -> None:
    server, url = demo
    started = psutil.Process(server.pid).children(recursive=True)
    assert started, "no browser"
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as http:
        answer = http.post(CHAT, json=body("demo/echo"))
        assert answer.json()["choices"][0]["message"]["content"].strip() == "hi"
    again = subprocess.run(
        command("demo", "--port", "0"),
        capture_output=True,
        text=True,
        env=environment,
        cwd=REPO,
        timeout=60,
        check=False,
    )
    assert again.returncode == 1
    assert "Another relay server" in again.stderr
    state = Path(environment["XDG_STATE_HOME"]) / "relay/demo/browser_profiles/demo/demo/state.json"
    assert state.stat().st_mode & 0o777 == 0o600
    started = psutil.Process(server.pid).children(recursive=True)
    server.send_signal(number)
    assert server.wait(40) == 0
    _, alive = psutil.wait_procs(started, timeout=10)
    assert alive == []


def test_the_welcome_names_what_to_try() -> None:
    said = welcome("http://127.0.0.1:9999", key=False, password="open sesame")
    assert "open sesame" in said
    assert "curl http://127.0.0.1:9999/v1/chat/completions" in said
    assert 'OpenAI(base_url="http://127.0.0.1:9999/v1"' in said
    assert "relay chat demo" in said


def test_limits_in_a_line() -> None:
    assert used_up([]) == ""
    some: list[dict[str, Any]] = [
        {"window": "5h", "used": 0.124, "resets_at": 2e9},
        {"window": "7d", "used": None, "resets_at": None},
    ]
    assert used_up(some) == "5h 12%, 7d ?"
    assert re.fullmatch(r"7d 100% until 1[789] May \d\d:\d\d", used_up([{"window": "7d", "used": 1, "resets_at": 2e9}]))
