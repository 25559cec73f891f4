"""What a person does far away, done in a page by CDP `Input`: mouse, touch, keys, input methods, paste.

Commands are sent in order and their replies are not waited for: a page that shows a dialog, or hangs, answers none.
"""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from relay.browser.tab import Tab

ALT, CTRL, META, SHIFT = 1, 2, 4, 8
BUTTONS = {"left": 1, "right": 2, "middle": 4}
MAX_UNANSWERED = 16
STALL_S = 1.0
"""How long a page that answers nothing holds up the next gesture."""
CLIPBOARD_CODES = ("KeyC", "KeyX", "KeyV", "Insert")
TEXT_OF = {"Enter": "\r"}
READ_SELECTION = """function() {
    let window_ = window;
    for (;;) {
        const at = window_.document.activeElement;
        let inner = null;
        try { inner = at && at.contentDocument && at.contentWindow; } catch { /* of another origin */ }
        if (inner) { window_ = inner; continue; }
        if (at && at.type !== "password" && typeof at.selectionStart === "number")
            return at.value.slice(at.selectionStart, at.selectionEnd);
        return String(window_.getSelection() ?? "");
    }
}"""


def clipboard_key(code: str, modifiers: int) -> Literal["", "copy", "cut", "paste"]:
    """What a key does with the clipboard. The browser's own is shared by all accounts, so it never gets such a key."""
    if code not in CLIPBOARD_CODES:
        return ""
    command = bool(modifiers & (CTRL | META))
    if code == "Insert":
        return "copy" if command else "paste" if modifiers & SHIFT else ""
    if not command or modifiers & ALT:
        return ""
    return {"KeyC": "copy", "KeyX": "cut", "KeyV": "paste"}[code]  # type: ignore[return-value]


def key_event(*, down: bool, key: str, code: str, key_code: int, modifiers: int) -> dict[str, Any]:
    """The parameters of `Input.dispatchKeyEvent`. A key that writes has its text; a shortcut has none."""
    event: dict[str, Any] = {
        "type": "keyUp",
        "key": key,
        "code": code,
        "windowsVirtualKeyCode": key_code,
        "modifiers": modifiers,
        "isKeypad": code.startswith("Numpad"),
    }
    if not down:
        return event
    text = TEXT_OF.get(key, key if len(key) == 1 else "")
    if text and not modifiers & (ALT | CTRL | META):
        return event | {"type": "keyDown", "text": text, "unmodifiedText": text}
    return event | {"type": "rawKeyDown"}


class RemoteInput:
    """Gestures into one page. Coordinates are CSS pixels of its viewport."""

    def __init__(self, tab: Tab) -> None:
        self.tab = tab
        self._buttons = 0
        self._at = (0.0, 0.0)
        self._touching = False
        self._pointing: asyncio.Task[None] | None = None
        """The newest press or release."""
        self._unanswered: set[asyncio.Task[None]] = set()
        self._moving: asyncio.Task[None] | None = None
        self._move: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return f"<RemoteInput buttons={self._buttons} unanswered={len(self._unanswered)}>"

    async def _send(self, method: str, params: dict[str, Any]) -> asyncio.Task[None]:
        if self._move is not None:  # what the person did before comes before
            move, self._move = self._move, None
            await self._send(*_method_of(move))
        if len(self._unanswered) >= MAX_UNANSWERED:
            await asyncio.wait(self._unanswered, timeout=STALL_S, return_when=asyncio.FIRST_COMPLETED)
        task = self.tab.session.post(method, params)
        self._unanswered.add(task)
        task.add_done_callback(self._unanswered.discard)
        return task

    async def _send_move(self, method: str, params: dict[str, Any]) -> None:
        """Of many moves in a row only the newest counts while one is under way."""
        if self._moving is not None and not self._moving.done():
            self._move = params | {"": method}
            return
        self._moving = await self._send(method, params)
        self._moving.add_done_callback(lambda _: self._flush())

    def _flush(self) -> None:
        if self._move is not None and self.tab.fault is None:
            move, self._move = self._move, None
            self._moving = self.tab.session.post(*_method_of(move))
            self._moving.add_done_callback(lambda _: self._flush())

    async def _settle(self) -> None:
        """Let clicks and taps arrive before what is typed: a tap moves the focus only when it has been recognised."""
        if self._pointing is not None:
            await asyncio.wait([self._pointing], timeout=STALL_S)
            self._pointing = None

    # mouse and touch

    async def mouse(
        self, kind: Literal["move", "down", "up"], x: float, y: float, *, button: str, clicks: int, modifiers: int
    ) -> None:
        """`button`: left, middle, right or none; `clicks`: 2 for the second press of a double click."""
        bit = BUTTONS.get(button, 0)
        self._at = (x, y)
        if kind == "down":
            self._buttons |= bit
        event = {"x": x, "y": y, "modifiers": modifiers, "button": button, "clickCount": clicks}
        if kind == "move":
            held = next((name for name, value in BUTTONS.items() if self._buttons & value), "none")
            event |= {"type": "mouseMoved", "button": held, "buttons": self._buttons, "clickCount": 0}
            await self._send_move("Input.dispatchMouseEvent", event)
            return
        if kind == "up":
            self._buttons &= ~bit
        event |= {"type": "mousePressed" if kind == "down" else "mouseReleased", "buttons": self._buttons}
        self._pointing = await self._send("Input.dispatchMouseEvent", event)

    async def wheel(self, x: float, y: float, dx: float, dy: float, modifiers: int) -> None:
        """Scroll by so many CSS pixels."""
        event = {"type": "mouseWheel", "x": x, "y": y, "deltaX": dx, "deltaY": dy, "modifiers": modifiers}
        await self._send("Input.dispatchMouseEvent", event)

    async def touch(self, kind: Literal["start", "move", "end"], x: float, y: float, modifiers: int) -> None:
        """One finger. Chromium makes taps, clicks and scrolling of it."""
        if kind != "start" and not self._touching:
            return
        self._touching = kind != "end"
        points = [] if kind == "end" else [{"x": x, "y": y}]
        event = {"type": f"touch{kind.capitalize()}", "touchPoints": points, "modifiers": modifiers}
        if kind == "move":
            await self._send_move("Input.dispatchTouchEvent", event)
        else:
            self._pointing = await self._send("Input.dispatchTouchEvent", event)

    async def release(self) -> None:
        """Let go of whatever is still pressed: the person is not there any more."""
        if self._touching:
            self._touching = False
            await self._send("Input.dispatchTouchEvent", {"type": "touchCancel", "touchPoints": []})
        for name, bit in BUTTONS.items():
            if self._buttons & bit:
                await self.mouse("up", *self._at, button=name, clicks=1, modifiers=0)

    # keys and text

    async def key(self, *, down: bool, key: str, code: str, key_code: int, modifiers: int) -> str | None:
        """Press or release a key. Returns what a copy or cut took from the page; a paste comes as `text` of its own."""
        await self._settle()
        clipboard = clipboard_key(code, modifiers)
        if not clipboard:
            event = key_event(down=down, key=key, code=code, key_code=key_code, modifiers=modifiers)
            await self._send("Input.dispatchKeyEvent", event)
            return None
        if not down or clipboard == "paste":
            return None
        taken = str(await self.tab.evaluate(READ_SELECTION, timeout_s=2) or "")
        if taken and clipboard == "cut":
            for pressed in (True, False):
                await self.key(down=pressed, key="Delete", code="Delete", key_code=46, modifiers=0)
        return taken

    async def compose(self, text: str) -> None:
        """What an input method shows while it composes; empty: it gave up."""
        await self._settle()
        at = len(text.encode("utf-16-le")) // 2
        composition = {"text": text, "selectionStart": at, "selectionEnd": at}
        await self._send("Input.imeSetComposition", composition)

    async def text(self, text: str) -> None:
        """Put text in: pasted, or what an input method made in the place of what it showed."""
        await self._settle()
        await self._send("Input.insertText", {"text": text})

    # the browser's buttons

    async def back(self) -> None:
        """To the page before, if there is one."""
        history = await self.tab.session.send("Page.getNavigationHistory", timeout_s=5)
        at = history["currentIndex"] - 1
        if at >= 0:
            await self._send("Page.navigateToHistoryEntry", {"entryId": history["entries"][at]["id"]})

    async def reload(self) -> None:
        """Load the page again."""
        await self._send("Page.reload", {})


def _method_of(move: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return move[""], {name: value for name, value in move.items() if name}
