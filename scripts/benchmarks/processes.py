"""What a process tree uses, from /proc: CPU seconds and PSS, by kind of process."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks.client import BenchError

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
QUIET_LOOK_S = 0.2
QUIET_SHARE = 0.1
"""A tree is at rest when it uses less than this of one core for QUIET_LOOK_S."""
REST_S = 45.0


@dataclass(frozen=True, slots=True)
class Shares:
    """Seconds or MiB of the browser, of Playwright's node, and of Python."""

    browser: float = 0.0
    node: float = 0.0
    python: float = 0.0

    @property
    def total(self) -> float:
        """All three."""
        return self.browser + self.node + self.python

    def __add__(self, other: Shares) -> Shares:
        return Shares(self.browser + other.browser, self.node + other.node, self.python + other.python)

    def scaled(self, factor: float) -> Shares:
        """Each times `factor`."""
        return Shares(self.browser * factor, self.node * factor, self.python * factor)


@dataclass(frozen=True, slots=True)
class Stat:
    """One process; `born` (clock ticks since boot) tells it from a later one with its pid."""

    name: str
    parent: int
    cpu_s: float
    born: int


def stat_of(pid: int) -> Stat | None:
    """One process; None when it has just ended."""
    try:
        head, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = rest.split()
    return Stat(
        head.partition("(")[2], int(fields[1]), (int(fields[11]) + int(fields[12])) / TICKS_PER_S, int(fields[19])
    )


def tree(root: int) -> dict[int, Stat]:
    """A process and all below it."""
    stats = {int(path.name): stat for path in Path("/proc").glob("[0-9]*") if (stat := stat_of(int(path.name)))}
    children: dict[int, list[int]] = {}
    for pid, stat in stats.items():
        children.setdefault(stat.parent, []).append(pid)
    found: dict[int, Stat] = {}
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        if pid in stats:
            found[pid] = stats[pid]
            waiting += children.get(pid, [])
    return found


def _share(name: str, amount: float) -> Shares:
    if "chrom" in name or "headless" in name or "chrome" in name:
        return Shares(browser=amount)
    return Shares(node=amount) if name.startswith(("node", "MainThread")) else Shares(python=amount)


def cpu_between(before: dict[int, Stat], after: dict[int, Stat]) -> Shares:
    """CPU seconds that a tree used between two looks; of a process that ended in between, nothing is known."""
    used = Shares()
    for pid, stat in after.items():
        used += _share(stat.name, stat.cpu_s - (before[pid].cpu_s if pid in before else 0.0))
    return used


def pss_mib(root: int) -> Shares:
    """PSS of a tree: shared pages are counted once, in equal parts."""
    used = Shares()
    for pid, stat in tree(root).items():
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        except PermissionError:
            raise BenchError("/proc/<pid>/smaps_rollup cannot be read: run as the user that owns the browser") from None
        kib = next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)
        used += _share(stat.name, kib / 1024)
    return used


async def at_rest(root: int) -> bool:
    """Wait until a tree has nothing to do (pages are reset, states are saved); False when it does not come to rest."""
    before = tree(root)
    for _ in range(int(REST_S / QUIET_LOOK_S)):
        await asyncio.sleep(QUIET_LOOK_S)
        after = tree(root)
        if cpu_between(before, after).total < QUIET_SHARE * QUIET_LOOK_S:
            return True
        before = after
    return False
