"""`relay demo` and `relay chat` as a person meets them: in a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.relay_server import Process, environment

RELAY = [sys.executable, "-m", "relay"]
ENDED_S = 60


class Terminal:
    """A program in a pseudo-terminal of its own."""

    def __init__(self, command: list[str], *, cwd: Path, env: dict[str, str]) -> None:
        self._master, inside = pty.openpty()
        self.process = subprocess.Popen(
            command, cwd=cwd, env={**env, "TERM": "xterm"}, stdin=inside, stdout=inside, stderr=inside,
            start_new_session=True,
        )  # fmt: skip
        os.close(inside)
        self.text = ""
        self.reads = 0

    def read(self) -> bool:
        """Wait for more text; False once there will be none. Raises AssertionError when nothing comes."""
        ready, _, _ = select.select([self._master], [], [], ENDED_S)
        assert ready, f"nothing came in {ENDED_S} s after {self.text!r}"
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux tells so that the other side is closed
            data = b""
        self.text += data.decode("utf-8", "replace")
        self.reads += bool(data)
        return bool(data)

    def end(self) -> int:
        """Read to the end; the exit status."""
        while self.read():
            pass
        os.close(self._master)
        return self.process.wait(ENDED_S)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An owner's machine on which relay has never run."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def env(home: Path) -> dict[str, str]:
    """The owner's environment."""
    return environment({"HOME": str(home), "XDG_STATE_HOME": str(home / "state"), "XDG_DATA_HOME": str(home / "data")})


@pytest.fixture(scope="module")
def demo(home: Path, env: dict[str, str]) -> Iterator[Process]:
    """A running `relay demo`."""
    process = Process([*RELAY, "demo", "--port", "0"], cwd=home, env=env)
    process.await_output("End with Ctrl-C")
    yield process
    assert process.end(signal.SIGINT) == 0, process.output
    assert "Traceback" not in process.output


@pytest.fixture(scope="module")
def url(demo: Process) -> str:
    """Its address."""
    return demo.await_output(r"relay demo is ready: (\S+)")[1]


def test_chat_streams_in_a_terminal(url: str, home: Path, env: dict[str, str]) -> None:
    terminal = Terminal([*RELAY, "chat", "demo", "hello", "--url", url], cwd=home, env=env)
    assert terminal.end() == 0
    assert "# About “hello”" in terminal.text
    assert terminal.text.rstrip().endswith("and that is all.")
    assert terminal.reads > 10, "it came in one piece"


def test_what_has_come_is_shown_while_more_is_awaited(url: str, home: Path, env: dict[str, str]) -> None:
    terminal = Terminal([*RELAY, "chat", "demo/stall", "hello", "--url", url], cwd=home, env=env)
    while "A short answer" not in terminal.text:
        assert terminal.read()
    assert terminal.process.poll() is None, "it shows the beginning while the rest is awaited"
    os.killpg(terminal.process.pid, signal.SIGINT)
    assert terminal.end() == 1
    assert "stopped" in terminal.text
    assert "Traceback" not in terminal.text


def test_chat_with_a_file_by_pipe(url: str, home: Path, env: dict[str, str]) -> None:
    file = home / "notes.txt"
    file.write_text("first line\n")
    done = subprocess.run(
        [*RELAY, "chat", "demo/thinker", "--file", str(file), "--search", "--url", url],
        cwd=home, env=env, input="look at this", capture_output=True, text=True, timeout=ENDED_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "- `notes.txt`: 11 bytes" in done.stdout
    assert "The user writes: “look at this”." in done.stderr, "reasoning does not mix with the answer"


def test_chat_says_what_is_wrong(url: str, home: Path, env: dict[str, str]) -> None:
    for arguments, status, said in (
        (["demo/refuses", "hi", "--url", url], 1, "refused"),
        (["nothing-of-the-kind", "hi", "--url", url], 1, "nothing-of-the-kind"),
        (["demo", "hi", "--url", "http://127.0.0.1:9"], 1, "No server answers"),
        ([], 2, "Missing argument"),
    ):
        done = subprocess.run(
            [*RELAY, "chat", *arguments], cwd=home, env=env, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == status, done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_the_printed_curl_line_works(demo: Process) -> None:
    line = demo.await_output(r"  (curl (?s:.*?)}')\n")[1]
    if shutil.which("curl"):
        done = subprocess.run(["sh", "-c", f"{line} -sS -N"], capture_output=True, text=True, timeout=60, check=True)
        answer = done.stdout
    else:
        address = re.findall(r"http://\S+", line)[0]
        body = re.findall(r"(?s)-d '(.*)'", line)[0]
        answer = httpx.post(address, content=body, headers={"content-type": "application/json"}, timeout=60).text
    assert '"role":"assistant"' in answer
    assert answer.endswith("data: [DONE]\n\n")


def test_the_printed_snippet_works(demo: Process, home: Path, env: dict[str, str]) -> None:
    snippet = demo.await_output(r"(?s)(  from openai import OpenAI\n.*?flush=True\))\n")[1]
    code = "\n".join(line[2:] for line in snippet.splitlines())
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=home, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("# About “Hello!”")


def test_one_server_per_home(demo: Process, home: Path, env: dict[str, str]) -> None:
    done = subprocess.run(
        [*RELAY, "demo", "--port", "0"], cwd=home, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "runs already" in done.stderr


def test_a_second_start(home: Path, env: dict[str, str]) -> None:
    """Of the same demo, one after the other: what the first left behind does no harm."""
    state = home / "state-twice"
    for _ in range(2):
        process = Process([*RELAY, "demo", "--port", "0"], cwd=home, env={**env, "XDG_STATE_HOME": str(state)})
        address = process.await_output(r"relay demo is ready: (\S+)")[1]
        body = {"model": "demo/echo", "messages": [{"role": "user", "content": "again"}]}
        answer = httpx.post(f"{address}/v1/chat/completions", json=body, timeout=60, trust_env=False)
        assert answer.json()["choices"][0]["message"]["content"] == "again"
        assert process.end() == 0, process.output
