"""What the API layer alone costs: `python -m scripts.benchmarks.api` measures, prints and writes it.

The server runs in a process of its own (`--serve`), over a pool that answers at once; the client is a bare socket, so
that no client library's work is measured. The baseline is the same server's `GET /ping`, in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from relay import log
from relay.api.app import create_app
from relay.api.server import HttpServer
from relay.settings import Settings
from scripts.benchmarks.client import BenchError
from scripts.benchmarks.figures import quantile
from scripts.benchmarks.remote import write_section
from tests.api.pool import ScriptedPool

ROOT = Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- api: written by python -m scripts.benchmarks.api -->", "<!-- end of api -->"
ONE_BY_ONE = 2_000
AT_ONCE = 8
RATE_S = 5.0
MAX_CHAT_MS = 3.0
MIN_PER_S = 500.0
CHAT = {"model": "demo", "messages": [{"role": "user", "content": "Hello! " * 40}]}
TOOLS = {
    **CHAT,
    "tools": [
        {"type": "function", "function": {"name": f"tool_{n}", "parameters": {"type": "object", "properties": {}}}}
        for n in range(20)
    ],
}


async def serve() -> None:
    """The measured process; prints its port. Ends by SIGTERM."""
    log.configure("INFO", sink=io.StringIO())  # lines are made, as they always are, and go nowhere
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(_env_file=None, home=Path(home), log_level="WARNING")
        over = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
        async with HttpServer(create_app(settings, ScriptedPool()), grace_s=1) as server:
            print(server.url.rpartition(":")[2], flush=True)
            await over.wait()


class Line:
    """One connection, kept open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, request: bytes) -> None:
        """Send, and read the whole answer. Raises BenchError for one that is none."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise BenchError(f"the server answered {head[:80]!r}")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        if b"content-length" in fields:
            await self._reader.readexactly(int(fields[b"content-length"]))
            return
        while size := int(await self._reader.readline(), 16):
            await self._reader.readexactly(size + 2)
        await self._reader.readexactly(2)


def request(path: str, body: object = None) -> bytes:
    """HTTP/1.1, by hand."""
    sent = b"" if body is None else json.dumps(body).encode()
    method = "GET" if body is None else "POST"
    head = (
        f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(sent)}"
    )
    return head.encode() + b"\r\n\r\n" + sent


@asynccontextmanager
async def lines(port: int, count: int) -> AsyncIterator[list[Line]]:
    """That many connections."""
    made = [await asyncio.open_connection("127.0.0.1", port, limit=1 << 24) for _ in range(count)]
    try:
        yield [Line(*one) for one in made]
    finally:
        for _, writer in made:
            writer.close()


async def one_by_one(port: int, asked: bytes, count: int = ONE_BY_ONE) -> list[float]:
    """Milliseconds of each of so many requests in a row."""
    taken_ms = []
    async with lines(port, 1) as [line]:
        for number in range(count + 100):
            before = time.perf_counter()
            await line.ask(asked)
            if number >= 100:  # the first ones warm it up
                taken_ms.append((time.perf_counter() - before) * 1000)
    return taken_ms


async def per_second(port: int, asked: bytes) -> float:
    """Requests a second over a few connections."""
    over = time.perf_counter() + RATE_S
    count = 0

    async def keep_on(line: Line) -> None:
        nonlocal count
        while time.perf_counter() < over:
            await line.ask(asked)
            count += 1

    async with lines(port, AT_ONCE) as made:
        await asyncio.gather(*map(keep_on, made))
    return count / RATE_S


async def measure() -> tuple[list[str], bool]:
    """The section's lines, and whether the targets are reached."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "scripts.benchmarks.api", "--serve", cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        port = int(await process.stdout.readline())
        ping = quantile(await one_by_one(port, request("/ping")), 0.5)
        rows, reached = [], True
        for title, body in (
            ("chat, whole", CHAT),
            ("chat, streamed", {**CHAT, "stream": True}),
            ("chat with 20 tools, whole", TOOLS),
        ):
            taken = await one_by_one(port, request("/v1/chat/completions", body))
            p50, p99 = quantile(taken, 0.5), quantile(taken, 0.99)
            reached = reached and p50 < MAX_CHAT_MS
            rows.append(f"| {title} | {p50:.2f} | {p99:.2f} | {p50 / ping:.1f} | {MAX_CHAT_MS:g} |")
        rate, base = await per_second(port, request("/v1/models")), await per_second(port, request("/ping"))
        reached = reached and rate >= MIN_PER_S
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()
    now, load = datetime.now(UTC), os.getloadavg()[0]
    return [
        f"Run of {now.isoformat(timespec='seconds')} on {os.cpu_count()} cores, load average after it {load:.1f}.",
        "",
        "| a site that answers at once | p50, ms | p99, ms | times `/ping` | target, p50 |",
        "|---|---|---|---|---|",
        *rows,
        "",
        f"`GET /v1/models` over {AT_ONCE} connections: {rate:,.0f} requests a second (target {MIN_PER_S:g}), "
        f"{rate / base:.2f} of what `GET /ping` makes ({base:,.0f}).",
    ], reached


async def main() -> int:
    """Measure, print and write; 1 when a target is missed."""
    section, reached = await measure()
    print("\n".join(section))
    write_section("\n".join(section), ROOT / "docs" / "benchmarks.md", BEGIN, END)
    return int(not reached)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", action="store_true", help="the measured process")
    try:
        if parser.parse_args().serve:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(serve())
        else:
            sys.exit(asyncio.run(main()))
    except BenchError as error:
        sys.exit(f"scripts.benchmarks.api: {error}")
