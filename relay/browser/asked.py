"""What a page asks of the person before it: files to choose, and `alert`, `confirm`, `prompt`."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Literal

from loguru import logger
from playwright.async_api import Dialog, FileChooser

from relay.browser.driver import DRIVER_ERRORS, said
from relay.browser.tab import Tab

_UNSAFE = re.compile(r"[^\w.,()+=@ -]", re.UNICODE)
MAX_NAME_BYTES = 120


def safe_name(name: str) -> str:
    """A file name that is one: no folders, no control characters, not too long; the ending stays."""
    name = _UNSAFE.sub("_", name.replace("\\", "/").rpartition("/")[2]).strip(" .") or "file"
    stem, dot, ending = name.rpartition(".")
    if not dot or len(ending.encode()) > 16:
        stem, dot, ending = name, "", ""
    most = MAX_NAME_BYTES - len((dot + ending).encode())
    return stem.encode()[:most].decode("utf-8", "ignore") + dot + ending


class Asked:
    """Questions that wait for an answer. With nobody there, dialogs are answered at once: a page may hang on them."""

    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        self.on_change = on_change
        self._attended = False
        self._dialogs: list[Dialog] = []
        self._choosers: list[FileChooser] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._watched: set[Tab] = set()
        self._given = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Asked dialogs={len(self._dialogs)} choosers={len(self._choosers)} files={self._given}>"

    def watch(self, tabs: Sequence[Tab]) -> None:
        """Take in the file choosers of these windows: no native one opens any more."""
        for tab in tabs:
            if tab not in self._watched:
                self._watched.add(tab)
                tab.page.on("filechooser", self._on_chooser)

    @property
    def chooser(self) -> Literal["", "one", "many"]:
        """Whether a file chooser waits, and for how many files."""
        self._choosers = [one for one in self._choosers if not one.page.is_closed()]
        if not self._choosers:
            return ""
        return "many" if self._choosers[-1].is_multiple() else "one"

    @property
    def dialog(self) -> tuple[Literal["", "alert", "confirm", "prompt"], str]:
        """The dialog that waits, and what it says."""
        self._dialogs = [one for one in self._dialogs if one.page is None or not one.page.is_closed()]
        if not self._dialogs:
            return "", ""
        oldest = self._dialogs[0]
        kind = oldest.type
        return (kind if kind in ("alert", "prompt") else "confirm"), oldest.message[:2000]  # type: ignore[return-value]

    def attend(self, attended: bool) -> None:
        """Somebody is there, or nobody any more."""
        self._attended = attended
        if not attended:
            while self._dialogs:
                self._answer(self._dialogs.pop(0), accept=False)

    # files

    def _on_chooser(self, chooser: FileChooser) -> None:
        self._choosers = [chooser]  # a browser shows one at a time too
        self.on_change()

    async def give(self, files: Sequence[tuple[str, bytes]]) -> None:
        """Hand files to the chooser that waits; without one they are dropped."""
        if not self._choosers:
            return
        chooser = self._choosers.pop()
        self.on_change()
        chosen = files if chooser.is_multiple() else files[:1]
        paths = await asyncio.to_thread(self._write, chosen)
        try:
            await chooser.set_files(paths, timeout=10_000)
        except DRIVER_ERRORS as error:
            logger.debug("files not taken: {}", said(error))

    def _write(self, files: Sequence[tuple[str, bytes]]) -> list[Path]:
        """Into a private folder, which stays until the end: pages read what they were given when they need it."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="relay-login-")
        paths = []
        for name, data in files:
            self._given += 1
            own = Path(self._folder.name) / str(self._given)
            own.mkdir(mode=0o700)
            path = own / safe_name(name)
            path.touch(0o600)
            path.write_bytes(data)
            paths.append(path)
        return paths

    def cancel_files(self) -> None:
        """Choose nothing."""
        self._choosers.clear()
        self.on_change()

    # dialogs

    def on_dialog(self, tab: Tab | None, dialog: Dialog) -> None:
        """A page asks. What it asks when it is left is not worth a question."""
        if dialog.type == "beforeunload" or not self._attended:
            self._answer(dialog, accept=dialog.type in ("alert", "beforeunload"))
            return
        self._dialogs.append(dialog)
        self.on_change()

    def answer(self, *, accept: bool, text: str = "") -> None:
        """Answer the dialog that waits; without one nothing happens."""
        if self._dialogs:
            self._answer(self._dialogs.pop(0), accept=accept, text=text)
            self.on_change()

    def _answer(self, dialog: Dialog, *, accept: bool, text: str = "") -> None:
        async def answer() -> None:
            try:
                if accept:
                    await dialog.accept(text if dialog.type == "prompt" else None)
                else:
                    await dialog.dismiss()
            except DRIVER_ERRORS as error:  # its page went
                logger.debug("dialog not answered: {}", said(error))

        self._spawn(answer())

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Remove the files."""
        self.attend(False)
        self._choosers.clear()
        folder, self._folder = self._folder, None
        if folder is not None:
            await asyncio.to_thread(folder.cleanup)
