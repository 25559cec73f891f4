"""A virtual display (Xvfb) for a browser with windows, on a machine that has no screen."""

from __future__ import annotations

import asyncio
import os
import secrets
import select
import shutil
import struct
import sys
import tempfile
from pathlib import Path

from relay.errors import BrowserFault

SCREEN = "1280x800x24"
START_S = 15.0
STOP_S = 5.0
_COOKIE = b"MIT-MAGIC-COOKIE-1"
_ANY_HOST = 0xFFFF


def has_display() -> bool:
    """Whether windows can be opened here."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


class VirtualDisplay:
    """A running Xvfb; other users of the machine cannot look at it. Made by `start`."""

    def __init__(
        self, process: asyncio.subprocess.Process, name: str, folder: tempfile.TemporaryDirectory[str]
    ) -> None:
        self._process = process
        self._folder = folder
        self.name = name
        """As in DISPLAY."""

    def __repr__(self) -> str:
        return f"<VirtualDisplay {self.name} pid={self._process.pid} exit={self._process.returncode}>"

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to show its windows there."""
        return {"DISPLAY": self.name, "XAUTHORITY": str(Path(self._folder.name) / "authority")}

    @classmethod
    async def start(cls) -> VirtualDisplay:
        """Raises BrowserFault with what to install."""
        program = shutil.which("Xvfb")
        if program is None:
            raise BrowserFault(
                "A browser with windows (mode `headed`) needs a display, and this machine has none: install Xvfb "
                "(on Debian `apt-get install xvfb`), and a display is made by itself; or set DISPLAY."
            )
        folder = tempfile.TemporaryDirectory(prefix="relay-display-")
        authority = Path(folder.name) / "authority"
        authority.write_bytes(_authority(secrets.token_bytes(16)))
        told, tells = os.pipe()
        try:
            options = ["-displayfd", str(tells), "-screen", "0", SCREEN, "-nolisten", "tcp", "-auth", str(authority)]
            process = await asyncio.create_subprocess_exec(
                program, *options, pass_fds=(tells,), stderr=asyncio.subprocess.DEVNULL
            )
        except BaseException:
            os.close(told)
            folder.cleanup()
            raise
        finally:
            os.close(tells)
        number = await asyncio.to_thread(_read_number, told)
        if not number:
            await _end(process)
            folder.cleanup()
            raise BrowserFault(f"Xvfb did not start within {START_S:g} s.")
        return cls(process, f":{number}", folder)

    async def stop(self) -> None:
        """End it."""
        await _end(self._process)
        self._folder.cleanup()


def _authority(cookie: bytes) -> bytes:
    """An Xauthority file (man Xsecurity) with one cookie, for every display."""
    parts = (b"", b"", _COOKIE, cookie)
    return struct.pack(">H", _ANY_HOST) + b"".join(struct.pack(">H", len(part)) + part for part in parts)


def _read_number(descriptor: int) -> str:
    """What Xvfb writes once it listens; empty where it ended or took too long."""
    with os.fdopen(descriptor, "rb") as pipe:
        ready, _, _ = select.select([pipe], [], [], START_S)
        return pipe.readline().decode("ascii", "replace").strip() if ready else ""


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()
