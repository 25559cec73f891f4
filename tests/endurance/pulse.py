"""`python -m tests.endurance.pulse URL`: a process of its own that asks `GET /ping` until its input ends.

The server's event loop cannot be seen from outside; but a loop that is held up holds up a ping too. What a ping takes
in a quiet process is therefore an upper bound of the loop's lag. Prints the milliseconds of each as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from types import TracebackType
from typing import Self

import httpx

GAP_S = 0.05


async def beat(url: str) -> list[float]:
    """The round trips, in ms, until standard input ends."""
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    found = []
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60, verify=False) as client:
        while not ended.done():
            began = time.perf_counter()
            (await client.get("/ping")).raise_for_status()
            found.append((time.perf_counter() - began) * 1000)
            await asyncio.wait([ended], timeout=GAP_S)
    return found


class Pulse:
    """The process, as a context manager; `found_ms` is there after it."""

    def __init__(self, url: str) -> None:
        self.found_ms: list[float] = []
        self._url = url

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.endurance.pulse", self._url]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        out, _ = self._process.communicate(timeout=70)
        if kind is None:
            assert self._process.returncode == 0, "a ping failed"
            self.found_ms = json.loads(out)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(beat(sys.argv[1]))))
