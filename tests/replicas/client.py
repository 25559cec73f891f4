"""The tests' side: start and stop the replica process, set scenarios, read recordings."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import TypeAdapter

from tests.replicas.recording import Record
from tests.replicas.scenario import Scenario
from tests.replicas.seen import Seen

ROOT = Path(__file__).resolve().parents[2]
RECORDS = TypeAdapter(list[Record])


class Replicas:
    """The running replica process. A context manager; the control methods may be called from any event loop."""

    def __init__(self) -> None:
        self.port = 0
        self.spki = ""
        self.control = ""
        self._process: subprocess.Popen[str] | None = None

    def __repr__(self) -> str:
        return f"<Replicas port={self.port} control={self.control or 'not running'}>"

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.replicas", "--with-parent"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the replicas did not start, exit code {self._process.wait()}")
        said = json.loads(line)
        self.port, self.spki, self.control = said["port"], said["spki"], said["control"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.kill()  # it holds nothing worth an orderly end
        self._process.communicate()
        self._process = None

    @property
    def host_rules(self) -> str:
        """The value of Chromium's ``--host-resolver-rules``."""
        return f"MAP * 127.0.0.1:{self.port}, EXCLUDE 127.0.0.1"

    @property
    def chromium_args(self) -> list[str]:
        """What Chromium must be launched with to see the replicas as the sites."""
        return [f"--host-resolver-rules={self.host_rules}", f"--ignore-certificate-errors-spki-list={self.spki}"]

    def client(self, host: str, **options: Any) -> httpx.AsyncClient:
        """A plain HTTP/1.1 client whose relative addresses go to ``host``'s replica (no browser between)."""
        headers = {"host": host, **options.pop("headers", {})}
        return httpx.AsyncClient(
            base_url=f"https://127.0.0.1:{self.port}", headers=headers, verify=False, trust_env=False, **options
        )

    async def play(self, site: str, account: str, scenario: Scenario) -> None:
        """From now on, ``account`` (``"*"``: everyone without their own) meets ``scenario`` at ``site``."""
        await self._ask("PUT", f"/scenarios/{site}/{account}", content=scenario.model_dump_json())

    async def records(
        self, *, count: int = 0, timeout_s: float = 5, state: str | None = None, **fields: str
    ) -> list[Record]:
        """Records whose ``fields`` (``site``, ``account``, ``operation``, ``path``, ...) and ``state`` are as given.

        With ``count``, waits until there are so many; raises AssertionError after ``timeout_s``.
        """
        params: dict[str, str] = {**fields, "count": str(count), "timeout_s": str(timeout_s if count else 0)}
        if state:
            params["state"] = state
        answer = await self._ask("GET", "/records", params=params, timeout=timeout_s + 5)
        found = RECORDS.validate_json(answer.content)
        assert len(found) >= count, f"{len(found)} of {count} records with {fields} state={state}: {found}"
        return found

    async def forget(self, **fields: str) -> None:
        """Drop the records that have these ``fields``."""
        await self._ask("DELETE", "/records", params=fields)

    async def state(self, site: str, account: str) -> Any:
        """What the site keeps for ``account`` (chats, files, ...), in the replica's own words."""
        return (await self._ask("GET", f"/state/{site}/{account}")).json()

    async def seen(self, site: str, account: str) -> Seen:
        """What the site saw of ``account``, in the words of all sites."""
        return Seen.model_validate_json((await self._ask("GET", f"/seen/{site}/{account}")).content)

    async def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.control, trust_env=False) as client:
            answer = await client.request(method, path, **options)
        answer.raise_for_status()
        return answer
