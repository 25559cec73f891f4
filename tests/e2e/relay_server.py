"""A real `relay serve` in a process and a home of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import psutil

START_S = 60
STOP_S = 20
SECRET_CHARS = 32
NUMBERS = ("lastActiveOrg", "anthropic-device-id")
"""Cookies that say who somebody is and let nobody in; addresses of the site's API hold them too."""


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The machine's environment without a person's own relay settings, and with these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
    sandbox = {} if os.name != "posix" or os.geteuid() else {"RELAY_BROWSER__SANDBOX": "false"}
    return {**kept, **sandbox, **settings}


class Process:
    """A program whose output is read line by line, and which leaves no child behind."""

    def __init__(self, command: list[str], *, cwd: Path, env: dict[str, str]) -> None:
        self._lines: list[str] = []
        self._more = threading.Condition()
        self._ended = False
        self._process = subprocess.Popen(
            command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8"
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __repr__(self) -> str:
        return f"<Process {self._process.pid} lines={len(self._lines)} exit={self._process.poll()}>"

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._more:
                self._lines.append(line)
                self._more.notify_all()
        with self._more:
            self._ended = True
            self._more.notify_all()

    @property
    def pid(self) -> int:
        """The root of its process tree."""
        return self._process.pid

    @property
    def output(self) -> str:
        """What it has said so far."""
        with self._more:
            return "".join(self._lines)

    def await_output(self, pattern: str, timeout_s: float = START_S, *, since: int = 0) -> re.Match[str]:
        """The first match of a regular expression in the output after `since` characters. Raises AssertionError."""
        found: re.Match[str] | None = None

        def there() -> bool:
            nonlocal found
            found = re.compile(pattern).search("".join(self._lines), since)
            return found is not None or self._ended

        with self._more:
            self._more.wait_for(there, timeout_s)
        assert found, f"no {pattern!r} in the output:\n{self.output[-4000:]}"
        return found

    def children(self) -> list[psutil.Process]:
        """Every process below it."""
        return psutil.Process(self._process.pid).children(recursive=True)

    def wait(self, timeout_s: float) -> int:
        """Wait for its own end; the exit status. Raises subprocess.TimeoutExpired."""
        status = self._process.wait(timeout_s)
        self._reader.join(5)
        return status

    def kill(self) -> None:
        """As a power cut would: its children are left."""
        self._process.kill()
        self._process.wait(STOP_S)

    def interrupt(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end. Raises AssertionError where it hangs or leaves a child."""
        if self._process.poll() is None:
            children = self.children()
            self.interrupt(number)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                raise AssertionError(f"{self} did not end within {STOP_S} s:\n{self.output[-4000:]}") from None
            # A zombie has ended; its adoptive parent has only not asked for it yet.
            _, alive = psutil.wait_procs(children, timeout=5)
            left = [child for child in alive if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
            for child in left:
                child.kill()
            assert not left, f"left behind: {left}"
        self._reader.join(5)
        return self._process.returncode


class RelayServer:
    """`relay serve` with a home; a context manager. Settings are those of the environment (`RELAY_...`)."""

    def __init__(self, home: Path, settings: Mapping[str, str], *, debug: bool = False, module: str = "relay") -> None:
        """`debug`: with all that the log can tell, tracebacks too; `module` is what Python runs."""
        self._module = module
        self._options = ["--debug"] if debug else []
        self.home = home
        self.url = ""
        self._settings = settings
        self._secrets: set[str] = set()
        self._process: Process | None = None

    def __repr__(self) -> str:
        return f"<RelayServer {self.url or 'down'} {self.home}>"

    @property
    def process(self) -> Process:
        """The running process."""
        assert self._process is not None, "the server is not running"
        return self._process

    @property
    def log(self) -> str:
        """Its log so far."""
        return self.process.output

    def account(self, site: str, account: str) -> Path:
        """The folder of an account."""
        return self.home / "browser_profiles" / site / account

    def __enter__(self) -> Self:
        return self.start()

    def start(self, *, ready: bool | None = True) -> Self:
        """Until it listens and has checked its accounts.

        `ready`: it has one that may take a chat. None: only until its login is checked, be that at once or not.
        """
        self._note_secrets()
        env = environment({"RELAY_HOME": str(self.home), "RELAY_LOG_LEVEL": "DEBUG", **self._settings})
        command = [sys.executable, "-m", self._module, *self._options, "serve", "--port", "0"]
        self._process = Process(command, cwd=self.home, env=env)
        try:
            self.url = self._process.await_output(r"listening on (http://\S+)")[1]
            answer = httpx.get(f"{self.url}/ready", trust_env=False, timeout=10)
            assert ready is None or answer.status_code == (200 if ready else 503), answer.text
            # The first check of each login uses a tab: it must not meet what a test sets up.
            for folder in sorted((self.home / "browser_profiles").glob("*/*")):
                name = re.escape(f"{folder.parent.name}/{folder.name}")
                self._process.await_output(rf"{name}(: login | could not be checked|: not checked)")
        except BaseException:
            self._process.end(signal.SIGKILL)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        status = self.process.end()
        self._note_secrets()
        if kind is None:
            assert [secret[:6] for secret in self._secrets if secret in self.log] == [], "a login in the log"
            assert status == 0, self.log[-4000:]
            assert "Traceback" not in self.log, self.log[-8000:]

    def _note_secrets(self) -> None:
        """What logs its accounts in, as it is now: no server's log may ever hold it."""
        for file in (self.home / "browser_profiles").glob("*/*/state.json"):
            try:
                state = json.loads(file.read_text("utf-8"))
            except ValueError:  # a test has damaged it
                continue
            kept = list(state.get("cookies", []))
            for origin in state.get("origins", []):
                kept += origin.get("localStorage", [])
            secret = [item["value"] for item in kept if item["name"] not in NUMBERS]
            self._secrets |= {value for value in secret if len(value) >= SECRET_CHARS}

    def browser(self) -> psutil.Process:
        """The browser's main process."""
        # Not by its own command line: before it may stand the shell script that a distribution wraps it in.
        zygotes = [process for process in self.process.children() if "--type=zygote" in _command(process)]
        parents = {zygote.ppid() for zygote in zygotes} - {zygote.pid for zygote in zygotes}
        [main] = parents
        return psutil.Process(main)

    def renderers(self) -> list[psutil.Process]:
        """The processes of its pages."""
        return [process for process in self.process.children() if "--type=renderer" in _command(process)]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
