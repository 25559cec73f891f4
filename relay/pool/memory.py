"""What the relay, Playwright's driver and the browser use of the machine's memory, from /proc."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

PROC = Path("/proc")
FRESH_S = 10.0
"""Scrapes within this share one reading."""
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_GONE_OR_CLOSED = (FileNotFoundError, ProcessLookupError, PermissionError)

Used = Mapping[tuple[str, str], int]
"""Bytes by (process, measure), see `memory_in_use`."""


class Memory:
    """The last reading of `memory_in_use`, taken again when it is asked for and older than FRESH_S."""

    def __init__(self, look: Callable[[], Used] | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._look = look or memory_in_use
        self._clock = clock
        self._read_at: float | None = None
        self._lock = threading.Lock()
        self.used: Used = {}
        """The last reading; empty before the first."""

    def __repr__(self) -> str:
        return f"<Memory {sum(self.used.values()) >> 20} MiB>"

    def read(self) -> Used:
        """The memory in use, at most FRESH_S old. Not for the event loop; two threads share one reading."""
        with self._lock:
            if self._read_at is None or self._clock() - self._read_at >= FRESH_S:
                self._read_at, self.used = self._clock(), self._look()
            return self.used


def memory_in_use(root: int | None = None, proc: Path = PROC) -> Used:
    """Bytes of a process (this one by default) and of all below it, summed by (process, measure).

    `process` is `relay` (the root), `driver` (Playwright's node), `browser` or `other`. `measure` is `pss`, in which
    shared pages count once, or `rss` for processes whose PSS may not be read (a sandboxed renderer's, unless we are
    root): an upper bound. Each process is in one sum only. Empty where there is no /proc.

    Costly, because the kernel walks every page table: some milliseconds for each page that is open in the browser.
    """
    root = os.getpid() if root is None else root
    used: dict[tuple[str, str], int] = {}
    for pid, kind in _tree(root, proc).items():
        measure, size_bytes = _size(proc / str(pid))
        if size_bytes:
            used[kind, measure] = used.get((kind, measure), 0) + size_bytes
    return used


def _tree(root: int, proc: Path) -> dict[int, str]:
    """A process and all below it, each with its kind."""
    children: dict[int, list[tuple[int, str]]] = {}
    for folder in proc.glob("[0-9]*"):
        try:
            # The name stands in parentheses and may hold some itself.
            head, _, rest = (folder / "stat").read_text("utf-8", "replace").rpartition(")")
        except _GONE_OR_CLOSED:
            continue
        children.setdefault(int(rest.split()[1]), []).append((int(folder.name), head.partition("(")[2]))
    found = {root: "relay"}
    waiting = [root]
    while waiting:
        parent = waiting.pop()
        for pid, name in children.get(parent, ()):
            found[pid] = "browser" if found[parent] == "browser" else _kind(name)
            waiting.append(pid)
    return found


def _kind(name: str) -> str:
    if name.startswith(("chrom", "headless")):
        return "browser"
    return "driver" if name.startswith(("node", "MainThread")) else "other"


def _size(folder: Path) -> tuple[str, int]:
    """PSS, else RSS, in bytes; 0 of a process that has just ended."""
    try:
        for line in (folder / "smaps_rollup").read_text("ascii").splitlines():
            if line.startswith("Pss:"):
                return "pss", int(line.split()[1]) * 1024
    except _GONE_OR_CLOSED:
        pass  # ended (then so says statm), not ours to read, or a kernel without it
    try:
        return "rss", int((folder / "statm").read_text("ascii").split()[1]) * PAGE_BYTES
    except _GONE_OR_CLOSED:
        return "rss", 0
