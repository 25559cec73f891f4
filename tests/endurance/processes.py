"""The server's process tree: who is in it, what it takes, and what it lost sight of."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from scripts.benchmarks.processes import Shares, at_rest, pss_mib
from tests.e2e.relay_server import RelayServer

TYPE = re.compile(r"--type=([\w-]+)")
GONE = (psutil.NoSuchProcess, psutil.ZombieProcess)


def role(process: psutil.Process) -> str:
    """`driver` (Playwright's node), `browser`, Chromium's own word for its other processes, else the program's name.

    Empty for a process that has just ended.
    """
    try:
        words = process.cmdline()
        if not words or process.status() == psutil.STATUS_ZOMBIE:
            return ""
        command = " ".join(words)
        if "run-driver" in words:
            return "driver"
        if Path(words[0]).name in ("sh", "bash", "dash"):
            return "wrapper"  # the script that a distribution puts before its browser
        if found := TYPE.search(command):
            return found[1]
        return "browser" if "--remote-debugging-" in command and "--user-data-dir" in command else process.name()
    except GONE:
        return ""


@dataclass(frozen=True, slots=True)
class Footprint:
    """A tree at one moment; `descriptors` are those of relay's own process and of Playwright's."""

    processes: Mapping[str, int]
    relay_descriptors: int
    driver_descriptors: int
    pss: Shares
    """MiB."""
    tabs: int

    @property
    def pss_mib(self) -> float:
        """Of the whole tree."""
        return self.pss.total

    def line(self) -> str:
        """For people."""
        who = ", ".join(f"{count} {name}" for name, count in sorted(self.processes.items()))
        return (
            f"{who}; descriptors: relay {self.relay_descriptors}, driver {self.driver_descriptors}; "
            f"{self.tabs} pages; {self.pss_mib:,.0f} MiB"
        )


class Census:
    """Every process ever seen below a server, so that one which lost its parent is still known."""

    def __init__(self, server: RelayServer) -> None:
        self.root = psutil.Process(server.process.pid)
        self._seen: set[psutil.Process] = set()

    def __repr__(self) -> str:
        return f"<Census of {self.root.pid} seen={len(self._seen)}>"

    def look(self) -> list[psutil.Process]:
        """The tree below the root as it is now."""
        now = self.root.children(recursive=True)
        self._seen.update(now)
        return now

    def of(self, wanted: str) -> list[psutil.Process]:
        """The processes of one role."""
        return [process for process in self.look() if role(process) == wanted]

    def orphans(self) -> list[psutil.Process]:
        """Those that left the tree and live on."""
        below = set(self.look())
        return [process for process in self._seen - below if process.is_running() and role(process)]

    def footprint(self, tabs: int) -> Footprint:
        """What the tree takes now; `tabs` is what the server says of its pages."""
        roles = {process: role(process) for process in self.look()}
        drivers = [process for process, name in roles.items() if name == "driver"]
        return Footprint(
            Counter(name for name in roles.values() if name),
            self.root.num_fds(),
            sum(process.num_fds() for process in drivers),
            pss_mib(self.root.pid),
            tabs,
        )

    async def rest(self) -> bool:
        """Wait until the tree has nothing to do; False where it does not come to rest."""
        return await at_rest(self.root.pid)


def grown(before: Footprint, after: Footprint) -> list[str]:
    """What there is more of than before: leaks. Chromium may keep one renderer ahead, so one is no leak."""
    found = []
    if after.tabs > before.tabs:
        found.append(f"{after.tabs} pages, before {before.tabs}")
    spare = before.processes.get("renderer", 0) - before.tabs
    if after.processes.get("renderer", 0) - after.tabs > max(spare, 0) + 1:
        found.append(f"{after.processes.get('renderer', 0)} renderers for {after.tabs} pages")
    for name, count in after.processes.items():
        if name != "renderer" and count > before.processes.get(name, 0):
            found.append(f"{count} {name} processes, before {before.processes.get(name, 0)}")
    for name, now, then in (
        ("relay", after.relay_descriptors, before.relay_descriptors),
        ("driver", after.driver_descriptors, before.driver_descriptors),
    ):
        if now > then:
            found.append(f"{now} descriptors of {name}, before {then}")
    return found


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()

    @property
    def s(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self._began_s
