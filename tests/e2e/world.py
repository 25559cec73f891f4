"""Everything that the relay is tested against, started when first asked for, and the relay servers themselves."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.e2e import accounts
from tests.e2e.relay_server import Process, RelayServer, environment
from tests.e2e.shredder import Shredder
from tests.e2e.stages import DemoStage, GradioStage, KimiStage, Stage
from tests.replicas import Replicas

ROOT = Path(__file__).resolve().parents[2]
GRADIO = "6.31.0"
APPS = ("text", "multimodal", "thinking")

SERVERS: dict[str, dict[str, str]] = {
    "fetch": {"demo": "fetch", "kimi": "fetch", "gradio": "fetch:queue"},
    "screen": {"demo": "screen", "kimi": "screen", "gradio": "screen"},
    "dom": {"demo": "dom", "kimi": "dom", "gradio": "dom"},
    "mixed": {"demo": "fetch,screen,dom", "kimi": "fetch,screen", "gradio": "fetch:call"},
}
"""Servers by name, and their drivers by site."""
PAIRS: tuple[tuple[str, str], ...] = (
    *((site, driver) for site in ("demo", "kimi") for driver in ("fetch", "screen", "dom")),
    *(("gradio", driver) for driver in ("fetch:call", "fetch:queue", "screen", "dom")),
)


def server_of(site: str, driver: str) -> str:
    """The server that runs a site by a driver."""
    return next(name for name, drivers in SERVERS.items() if drivers[site] == driver)


class World:
    """A context manager. `replicas` are used if given, else started; the clocks are those of all servers."""

    def __init__(self, replicas: Replicas | None = None, *, first_byte_s: int = 40, idle_s: int = 40) -> None:
        self._given = replicas
        # A status of its own for every error, however slow the machine is today.
        self._clocks = {
            "RELAY_COMMIT_AFTER_S": "60",
            "RELAY_CLOCKS__FIRST_BYTE_S": str(first_byte_s),
            "RELAY_CLOCKS__IDLE_S": str(idle_s),
            "RELAY_KEEPER__IDLE_PAGE_S": "20",  # while other tests have their turn, idle pages eat their time
        }
        self._stack = ExitStack()
        self._servers: dict[str, RelayServer] = {}
        self.secret = secrets.token_hex(16)

    def __repr__(self) -> str:
        return f"<World servers={list(self._servers)}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @cached_property
    def replicas(self) -> Replicas:
        """The replicas of the sites that cannot be reached from here."""
        return self._given or self._stack.enter_context(Replicas())

    @cached_property
    def demo(self) -> DemoStage:
        """A demo site in a process of its own."""
        env = environment({"RELAY_DEMO_SECRET": self.secret, "RELAY_DEMO_SLOW_FIRST_MS": "100"})
        command = [sys.executable, "-m", "relay.demo", "--scripts", "--piece-ms", "2"]
        process = Process(command, cwd=ROOT, env=env)
        self._stack.callback(process.end)
        return DemoStage(process.await_output(r"demo site: (http://\S+)/ ")[1])

    @cached_property
    def gradio(self) -> GradioStage:
        """Real Gradio apps, behind a proxy that cuts their bytes; their addresses are `<proxy>/<kind>/`."""
        made = subprocess.run(
            [sys.executable, ROOT / "scripts" / "test-env", f"gradio-{GRADIO}"],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        folder = self._folder("gradio-")
        app = ROOT / "tests" / "gradio_apps" / "app.py"
        env = environment({"GRADIO_TEMP_DIR": str(folder / "uploads"), "HOME": str(folder)})
        command = [made.stdout.strip(), str(app), *APPS, "stage", "--folder", str(folder)]
        process = Process(command, cwd=folder, env=env)
        self._stack.callback(process.end)
        address = json.loads(process.await_output(r'\{"address": .*\}')[0])["address"]
        cut = self._stack.enter_context(Shredder(int(address.rpartition(":")[2])))
        return GradioStage(folder, cut.url)

    def serve(self, name: str) -> RelayServer:
        """The server of that name, started if it is not up."""
        if name not in self._servers:
            self._servers[name] = self._stack.enter_context(self.server(name))
        return self._servers[name]

    def server(self, name: str, sites: str = "demo kimi gradio", **settings: str) -> RelayServer:
        """A server not yet started, with an account at each of the sites and more settings."""
        home = self._folder(f"relay-{name}-")
        (home / "browser_profiles").mkdir()
        drivers = {f"RELAY_SITES__{site.upper()}__DRIVERS": value for site, value in SERVERS[name].items()}
        if "demo" in sites:
            accounts.demo(home, self.demo.address, self.secret)
        if "kimi" in sites:
            drivers["RELAY_BROWSER__HOST_RULES"] = self.replicas.host_rules
            drivers["RELAY_BROWSER__TRUSTED_SPKI"] = self.replicas.spki
            accounts.kimi(home, home.name)
        if "gradio" in sites:
            for app in APPS:
                accounts.gradio(home, app, f"{self.gradio.address}/{app}/")
        return RelayServer(home, {**self._clocks, **drivers, **settings})

    def alone(self, site: str, drivers: str, *, module: str = "relay", **settings: str) -> RelayServer:
        """A server not yet started that runs one site by these drivers, and has no account there yet."""
        home = self._folder(f"relay-{site}-")
        (home / "browser_profiles").mkdir()
        fixed = {
            f"RELAY_SITES__{site.upper().replace('-', '_')}__DRIVERS": drivers,
            "RELAY_BROWSER__HOST_RULES": self.replicas.host_rules,
            "RELAY_BROWSER__TRUSTED_SPKI": self.replicas.spki,
        }
        return RelayServer(home, {**self._clocks, **fixed, **settings}, module=module)

    def stage(self, site: str, server: RelayServer) -> Stage:
        """Where to set what a site answers to a server's account."""
        if site == "demo":
            return self.demo
        return self.kimi(server) if site == "kimi" else self.gradio

    def kimi(self, server: RelayServer) -> KimiStage:
        """The scenario of a server's Kimi account."""
        return KimiStage(self.replicas, server.home.name)

    def log_in_to_kimi(self, server: RelayServer, *, access_ttl_s: float = 900) -> Path:
        """Write a new login for the server's Kimi account; its folder."""
        return accounts.kimi(server.home, server.home.name, access_ttl_s=access_ttl_s)

    def _folder(self, prefix: str) -> Path:
        return Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix=prefix))).resolve()
