"""The owner's socket: the same routes on `$RELAY_HOME/relay.sock`, for whom the file's mode (0600) lets in."""

from __future__ import annotations

import os
import socket
import stat
import sys
import tempfile
from pathlib import Path
from types import TracebackType

from loguru import logger
from starlette.types import ASGIApp, Receive, Scope, Send

from relay.api.auth import OWNER
from relay.api.server import Uvicorn, configured


class OwnersApp:
    """An application whose every caller is the owner."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Mark the scope, which a client cannot write to."""
        await self._app({**scope, OWNER: True}, receive, send)


class LocalServer:
    """`async with LocalServer(app, settings.socket)`. Where there can be no socket it says so and does nothing."""

    def __init__(self, app: ASGIApp, path: Path, *, grace_s: float = 8) -> None:
        self.path = path
        self._uvicorn = Uvicorn(configured(OwnersApp(app), grace_s))
        self._bound: tuple[int, int] | None = None

    def __repr__(self) -> str:
        return f"<LocalServer {self.path} {'up' if self._bound else 'down'}>"

    async def start(self) -> None:
        """Listen. A file that an earlier server left is replaced; another kind of file is not."""
        if sys.platform == "win32":
            return
        try:
            listener = _listen(self.path)
        except OSError as error:
            said = error.strerror or str(error)
            logger.warning("no owner's socket at {} ({}): commands need --url and RELAY_API_KEY", self.path, said)
            return
        self._bound = _identity(self.path)
        await self._uvicorn.listen(listener, "owner's socket")

    async def stop(self) -> None:
        """Accept no more, let requests in flight finish, and remove the file if it is still ours."""
        if self._bound is None:
            return
        await self._uvicorn.end()
        if _identity(self.path) == self._bound:
            self.path.unlink(missing_ok=True)
        self._bound = None

    async def __aenter__(self) -> LocalServer:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


def _listen(path: Path) -> socket.socket:
    """A listening socket at `path`, mode 0600 from its first moment on. Raises OSError."""
    if os.path.lexists(path) and not stat.S_ISSOCK(path.lstat().st_mode):
        raise FileExistsError(0, "another file is there")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Bound where only we may enter, then moved: a socket's mode cannot be given when it is made.
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
            made = Path(folder) / "s"
            listener.bind(str(made))
            made.chmod(0o600)
            listener.listen(128)
            made.replace(path)
    except BaseException:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
