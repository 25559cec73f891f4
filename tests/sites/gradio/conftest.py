"""Real Gradio apps (one process per version) and one Chromium for all tests of this folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from relay.browser.chromium import Chromium
from relay.browser.tab import Tab
from relay.settings import BrowserSettings
from relay.sites.base import SiteConfig
from relay.sites.gradio.site import Gradio

ROOT = Path(__file__).resolve().parents[3]
VERSIONS = ("6.31.0", "5.49.1", "4.44.1")
KINDS = ("text", "auth", "private", "multimodal", "thinking", "options", "blocks", "plain")


@dataclass
class Apps:
    """The apps of one Gradio version."""

    version: str
    folder: Path
    process: subprocess.Popen[str]
    address: str = ""

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])

    def ready(self) -> Apps:
        """Wait until they serve. Raises RuntimeError with what the process said instead."""
        assert self.process.stdout is not None
        while not self.address:
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError((self.folder / "stderr").read_text())
            if line.startswith("{"):
                self.address = json.loads(line)["address"]
        return self

    def site(self, kind: str) -> Gradio:
        """A new site of one app."""
        return Gradio(SiteConfig(base_url=f"{self.address}/{kind}"))

    def script(self, name: str, text: str, cuts: list[int]) -> str:
        """Have `text` answered, streamed up to each cut in turn; the prompt that asks for it."""
        (self.folder / f"{name}.json").write_text(json.dumps({"text": text, "cuts": cuts}))
        return f"script:{name}"

    def received(self, kind: str, event: str = "message") -> list[dict[str, Any]]:
        """What an app recorded."""
        file = self.folder / "received.jsonl"
        lines = file.read_text("utf-8").splitlines() if file.exists() else []
        entries = [json.loads(line) for line in lines]
        return [entry for entry in entries if entry["kind"] == kind and entry["event"] == event]

    def wait_for(self, kind: str, event: str, count: int) -> None:
        """Wait until an app recorded so many events. Raises TimeoutError."""
        end = time.monotonic() + 20
        while len(self.received(kind, event)) < count:
            if time.monotonic() > end:
                raise TimeoutError(f"{kind} recorded {len(self.received(kind, event))} of {count} {event!r}")
            time.sleep(0.05)


@pytest.fixture(scope="package")
def _started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Apps]]:
    """All versions, started side by side."""
    quiet = {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_OFFLINE": "1",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    apps: dict[str, Apps] = {}
    try:
        for version in VERSIONS:
            found = subprocess.run(
                [sys.executable, str(ROOT / "scripts" / "test-env"), f"gradio-{version}"],
                check=True,
                capture_output=True,
                text=True,
            )
            folder = tmp_path_factory.mktemp(f"gradio-{version}")
            kinds = [kind for kind in KINDS if kind != "thinking" or not version.startswith("4")]
            with (folder / "stderr").open("w") as errors:
                process = subprocess.Popen(
                    [
                        found.stdout.strip(),
                        str(ROOT / "tests" / "gradio_apps" / "app.py"),
                        *kinds,
                        "--folder",
                        str(folder),
                    ],
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    env={**os.environ, **quiet, "GRADIO_TEMP_DIR": str(folder / "cache")},
                )
            apps[version] = Apps(version, folder, process)
        yield apps
    finally:
        for app in apps.values():
            app.process.kill()
            app.process.wait()


@pytest.fixture(params=VERSIONS, scope="package")
def apps(request: pytest.FixtureRequest, _started: dict[str, Apps]) -> Apps:
    """The apps of each version in turn; the later ones start while the first are tested."""
    return _started[request.param].ready()


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def chromium() -> AsyncIterator[Chromium]:
    """The browser."""
    browser = Chromium(BrowserSettings(sandbox=False))
    await browser.start()
    yield browser
    await browser.stop()


OpenTab = Callable[[Gradio], Awaitable[Tab]]


@pytest_asyncio.fixture(loop_scope="session")
async def open_tab(chromium: Chromium) -> AsyncIterator[OpenTab]:
    """Open a tab at a site, in a context of its own."""
    async with AsyncExitStack() as stack:

        async def opened(site: Gradio) -> Tab:
            context = await chromium.context()
            stack.push_async_callback(context.close)
            tab = await context.tab()
            await site.open(tab)
            return tab

        yield opened
