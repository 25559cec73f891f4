"""What a remote login costs and how quick it is: `scripts/bench remote` measures, prints and writes it.

The relay and its browser run in a process of their own (`--serve HOME`); the viewer is a bare WebSocket that takes
every picture at once, so that no second browser's work is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import struct
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import websockets
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from relay.api.app import create_app
from relay.api.remote import COOKIE
from relay.api.server import HttpServer
from relay.pool.dispatcher import Dispatcher
from relay.settings import BrowserSettings, LoginSettings, Settings
from scripts.benchmarks.client import BenchError
from scripts.benchmarks.figures import quantile
from scripts.benchmarks.processes import at_rest, cpu_between, tree

ROOT = Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- remote: written by scripts/bench remote -->", "<!-- end of remote -->"
WIDTH, HEIGHT = 1280, 720
KEYS = 40
LOOK_S = 5.0
STEP_S = 30.0
JPEG = b"\xff\xd8"
MOVING = """<!doctype html><title>bench</title><style>
  body { margin: 0; font: 14px/1.4 sans-serif } #box { position: absolute; top: 0; width: 200px; height: 200px; }
  p { margin: 6px }
</style><script>
  const lines = Array.from({length: 60}, (_, n) => `<p>${n} The quick brown fox jumps over the lazy dog.</p>`);
  document.write(lines.join("") + "<div id=box style='background: teal'></div>");
  let at = 0, moving = false, colour = 0;
  const step = () => { box.style.left = `${at = (at + 4) % 1000}px`; moving && requestAnimationFrame(step); };
  addEventListener("keydown", event => {
    if (event.key === "m") { moving = !moving; step(); }
    else box.style.background = `hsl(${colour = (colour + 70) % 360} 80% 50%)`;
  });
</script>"""


def site_app() -> Starlette:
    """A demo site at which nobody is logged in: a still page that moves when told."""

    async def page(request: Request) -> Response:
        return HTMLResponse(MOVING)

    async def nobody(request: Request) -> Response:
        return JSONResponse({"error": {"code": "not_logged_in"}}, 401)

    return Starlette(routes=[Route("/", page), Route("/api/me", nobody)])


async def serve(home: Path) -> None:
    """The measured process: site, relay, browser, and one remote login whose address is printed. Ends by SIGTERM."""
    settings = Settings(
        home=home,
        port=0,
        browser=BrowserSettings(sandbox=os.geteuid() != 0),
        login=LoginSettings(),
        _env_file=None,
    )
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    folder = home / "browser_profiles" / "demo" / "bench"
    folder.mkdir(parents=True)
    async with HttpServer(site_app(), grace_s=1) as site:  # type: ignore[arg-type]
        (folder / "account.toml").write_text(f'base_url = "{site.url}/"\n')
        pool = Dispatcher(settings)
        await pool.start()
        try:
            async with HttpServer(create_app(settings, pool), grace_s=1) as server:
                ticket = await pool.logins.open("demo/bench")
                browser = (await pool.browsers.get()).version
                print(json.dumps({"address": server.url + ticket.path, "chromium": browser}), flush=True)
                await told.wait()
        finally:
            await pool.stop()


class Viewer:
    """Takes pictures as they come."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket
        self.jpegs = self.jpeg_bytes = 0

    async def picture(self) -> bytes:
        """The next one. Raises BenchError when none comes."""
        try:
            async with asyncio.timeout(STEP_S):
                while True:
                    message = await self._socket.recv()
                    if isinstance(message, bytes):
                        data = message[4:]
                        if data.startswith(JPEG):
                            self.jpegs += 1
                            self.jpeg_bytes += len(data)
                        if struct.unpack(">HH", message[:4]) == (WIDTH, HEIGHT):
                            return data
        except TimeoutError:
            raise BenchError(f"no picture within {STEP_S:g} s") from None

    async def still(self) -> None:
        """Until the sharp picture is there."""
        while (await self.picture()).startswith(JPEG):
            pass

    async def key(self, key: str) -> None:
        """Press and release."""
        for kind in ("key_down", "key_up"):
            code = {"kind": kind, "key": key, "code": f"Key{key.upper()}", "key_code": ord(key.upper())}
            await self._socket.send(json.dumps(code))

    async def watch(self, seconds: float) -> int:
        """Take pictures for so long; how many came."""
        count, until = 0, time.monotonic() + seconds
        while (left_s := until - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(left_s):
                    await self.picture()
            except TimeoutError:
                break
            count += 1
        return count


@asynccontextmanager
async def relay_process() -> AsyncIterator[tuple[int, str, str]]:
    """Pid, address of the login, and Chromium's version."""
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as home:
        command = [sys.executable, "-m", "scripts.benchmarks.remote", "--serve", home]
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(60):
                line = await process.stdout.readline()
            if not line:
                raise BenchError("the relay did not start")
            said = json.loads(line)
            yield process.pid, said["address"], said["chromium"]
        finally:
            if process.returncode is None:
                process.terminate()
            await asyncio.wait_for(process.wait(), 60)


@asynccontextmanager
async def looking(address: str) -> AsyncIterator[Viewer]:
    """The login's one viewer."""
    cookie = looking_cookies.get(address)
    if cookie is None:
        async with httpx.AsyncClient(trust_env=False) as client:
            cookie = looking_cookies[address] = (await client.get(address)).cookies[COOKIE]
    async with websockets.connect(
        address.replace("http", "ws", 1) + "/view",
        additional_headers={"Cookie": f"{COOKIE}={cookie}"},
        max_size=None,
        proxy=None,
    ) as socket:
        await socket.send(json.dumps({"kind": "resize", "x": WIDTH, "y": HEIGHT}))
        yield Viewer(socket)


looking_cookies: dict[str, str] = {}


async def measure() -> dict[str, float | str]:
    """All figures."""
    figures: dict[str, float | str] = {"load": os.getloadavg()[0]}
    async with relay_process() as (pid, address, chromium):
        figures["chromium"] = chromium
        async with looking(address) as viewer:
            await viewer.still()
            delays = []
            for _ in range(KEYS):
                began = time.perf_counter()
                await viewer.key("x")
                await viewer.picture()
                delays.append((time.perf_counter() - began) * 1000)
                await viewer.still()
            figures["key p50"], figures["key p95"] = quantile(delays, 0.5), quantile(delays, 0.95)
            if not await at_rest(pid):
                raise BenchError("the relay does not come to rest")
            before = tree(pid)
            await viewer.watch(LOOK_S)
            figures["cpu still"] = cpu_between(before, tree(pid)).total / LOOK_S * 100
            await viewer.key("m")
            await viewer.watch(1)
            before, viewer.jpegs, viewer.jpeg_bytes = tree(pid), 0, 0
            figures["rate"] = await viewer.watch(LOOK_S) / LOOK_S
            figures["cpu moving"] = cpu_between(before, tree(pid)).total / LOOK_S * 100
            figures["jpeg kib"] = viewer.jpeg_bytes / max(1, viewer.jpegs) / 1024
        await asyncio.sleep(1)  # the casting ends; the page moves on
        before = tree(pid)
        await asyncio.sleep(LOOK_S)
        figures["cpu moving unseen"] = cpu_between(before, tree(pid)).total / LOOK_S * 100
        async with looking(address) as viewer:
            await viewer.key("m")
            await viewer.still()
        if not await at_rest(pid):
            raise BenchError("the relay does not come to rest")
        before = tree(pid)
        await asyncio.sleep(LOOK_S)
        figures["cpu unseen"] = cpu_between(before, tree(pid)).total / LOOK_S * 100
    return figures


def markdown(figures: dict[str, float | str]) -> str:
    """The section of docs/benchmarks.md."""
    rows = [
        ("pictures a second, page that moves all the time", f"{figures['rate']:.1f}"),
        ("one such picture (JPEG), KiB", f"{figures['jpeg kib']:.1f}"),
        (f"key to picture, p50 of {KEYS}, ms", f"{figures['key p50']:.0f}"),
        (f"key to picture, p95 of {KEYS}, ms", f"{figures['key p95']:.0f}"),
        ("CPU, nobody looks, still page, % of a core", f"{figures['cpu unseen']:.1f}"),
        ("CPU, looked at, still page, % of a core", f"{figures['cpu still']:.1f}"),
        ("CPU, nobody looks, moving page, % of a core", f"{figures['cpu moving unseen']:.1f}"),
        ("CPU, looked at, moving page, % of a core", f"{figures['cpu moving']:.1f}"),
    ]
    date = datetime.now(UTC).isoformat(timespec="seconds")
    lines = [
        f"Run of {date} on {os.cpu_count()} cores, load average before {figures['load']:.1f}; "
        f"Chromium {figures['chromium']}, headless shell, {WIDTH} by {HEIGHT} pixels.",
        "",
        "| figure | measured |",
        "|---|---|",
        *(f"| {title} | {value} |" for title, value in rows),
    ]
    return "\n".join(lines)


def write_section(section: str, page: Path, begins: str = BEGIN, ends: str = END) -> None:
    """Put the section between its marks."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(begins)
    _, end, after = rest.partition(ends)
    if not begin or not end:
        raise BenchError(f"{page} has no marks {begins} and {ends}")
    page.write_text(f"{before}{begins}\n{section}\n{ends}{after}", encoding="utf-8")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--no-write", action="store_true", help="leave docs/benchmarks.md as it is")
    options = parser.parse_args()
    if options.serve is not None:
        asyncio.run(serve(options.serve))
        return
    section = markdown(asyncio.run(measure()))
    print(section)
    if not options.no_write:
        write_section(section, ROOT / "docs" / "benchmarks.md")


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        sys.exit(f"scripts.benchmarks.remote: {error}")
