"""The screen: roles (input, send, stop, answer, ...) found by ordered candidates, typed into and clicked."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from relay.browser.answer import Answer
from relay.browser.driver import DRIVER_ERRORS
from relay.browser.markdown import MarkdownStream
from relay.browser.tab import Tab
from relay.chat.events import Event, Finished, Reasoning, Text
from relay.chat.request import Attachment
from relay.errors import (
    ChallengeNeeded,
    ContentRefused,
    LoginNeeded,
    RateLimited,
    RelayError,
    SiteChanged,
    SiteError,
)

FillWay = Literal["paste", "pieces", "insertText"]
"""How a rich editor is filled: by one paste, by many short ones (for an editor that makes a file of a long one), or by
the browser's own command."""
FAULTS: dict[str, type[RelayError]] = {
    "limited": RateLimited,
    "refused": ContentRefused,
    "wall": LoginNeeded,
    "challenge": ChallengeNeeded,
    "error": SiteError,
}
"""Roles of what a page may show instead of an answer, the most telling first."""
MASKED = "input[type=password], input[autocomplete*=one-time-code], input[name*=token], [data-secret]"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to find a role: a CSS selector and, optionally, the exact text of the element, or a part it must lack."""

    css: str
    text: str = ""
    unlike: str = ""


Roles = Mapping[str, Sequence[Candidate]]


class MissingRole(SiteChanged):
    """No candidate of a role was found. `screenshot` is a PNG with secrets masked, or empty."""

    def __init__(self, role: str, candidates: Sequence[Candidate], found: str, screenshot: bytes) -> None:
        tried = ", ".join(f"{c.css}{f' with text {c.text!r}' if c.text else ''}" for c in candidates)
        # What is missing before anything was clicked was never sent.
        super().__init__(
            f"the {role!r} element ({tried or 'no candidates'})", found, refused=role in ("input", "send", "attach")
        )
        self.role = role
        self.screenshot = screenshot


class Screen:
    """A tab seen as a person sees it."""

    def __init__(self, tab: Tab, roles: Roles, ways: Sequence[FillWay] = ("paste", "insertText")) -> None:
        self._tab = tab
        self._roles = roles
        self._ways = list(ways)

    def __repr__(self) -> str:
        return f"<Screen {self._tab.url} roles={sorted(self._roles)}>"

    def has(self, role: str) -> bool:
        """Whether the site's selectors name this role at all."""
        return bool(self._roles.get(role))

    def _candidates(self, role: str) -> list[dict[str, str]]:
        return [{"css": c.css, "text": c.text, "unlike": c.unlike} for c in self._roles.get(role, ())]

    async def _call(self, function: str, *arguments: Any, timeout_s: float) -> Any:
        return await self._tab.world().call(function, *arguments, timeout_s=timeout_s + 5)

    async def missing(self, role: str, found: str = "none of them") -> MissingRole:
        """The error of a role that is not there, with a masked screenshot."""
        return MissingRole(role, self._roles.get(role, ()), f"{found} at {self._tab.url}", await self.picture())

    async def picture(self) -> bytes:
        """What the page shows, as a PNG with secrets masked; empty where it cannot be had."""
        page = self._tab.page
        with suppress(*DRIVER_ERRORS):
            return await page.screenshot(mask=[page.locator(MASKED)], timeout=5000, animations="disabled")
        return b""

    async def submit(self, text: str, *, timeout_s: float = 15) -> str:
        """Type a prompt and press send; returns the way it was typed. Raises MissingRole."""
        call = {
            "input": self._candidates("input"),
            "send": self._candidates("send"),
            "walls": [*self._candidates("wall"), *self._candidates("challenge")],
            "text": text,
            "timeoutMs": timeout_s * 1000,
            "ways": self._ways,
        }
        done = await self._call("submit", call, timeout_s=2 * timeout_s + len(text) / 10_000)
        if "missing" in done:
            raise await self.missing(done["missing"], done.get("why", "none of them"))
        self._tab.sent_at = time.perf_counter()
        return str(done["how"])

    async def click(self, role: str, *, timeout_s: float = 5) -> None:
        """Click a role once it is there. Raises MissingRole."""
        if not await self._call("click", self._candidates(role), timeout_s * 1000, timeout_s=timeout_s):
            raise await self.missing(role)

    async def press(self, role: str, text: str = "", *, timeout_s: float = 5) -> None:
        """Press an element with pointer and mouse, for menus that open at either. Raises MissingRole.

        With `text` it is the one whose first line says that, in any case.
        """
        candidates = self._candidates(role)
        if not await self._call("press", candidates, text, timeout_s * 1000, timeout_s=timeout_s):
            raise await self.missing(role, f"none that says {text!r}" if text else "none of them")

    async def wait(self, role: str, *, timeout_s: float = 5) -> bool:
        """Whether a role appears in time."""
        return bool(await self._call("wait", self._candidates(role), timeout_s * 1000, timeout_s=timeout_s))

    async def count(self, role: str) -> int:
        """How many elements the role has now."""
        return int(await self._call("count", self._candidates(role), timeout_s=5))

    async def choose(self, role: str, value: str, *, timeout_s: float = 5) -> None:
        """Choose a value of a select element. Raises MissingRole."""
        if not await self._call("choose", self._candidates(role), value, timeout_s * 1000, timeout_s=timeout_s):
            raise await self.missing(role, f"no choice {value!r}")

    async def attach(self, attachments: Sequence[Attachment], *, timeout_s: float = 10) -> None:
        """Put files into the page's file input. Raises MissingRole."""
        world = self._tab.world()
        keys = [{"key": await world.stage(a.data), "name": a.name, "type": a.mime} for a in attachments]
        if not await self._call("attach", self._candidates("attach"), keys, timeout_s * 1000, timeout_s=timeout_s):
            raise await self.missing("attach")

    async def stop(self) -> None:
        """Press the page's stop button, if it shows one."""
        if self.has("stop"):
            await self._call("click", self._candidates("stop"), 300, timeout_s=1)

    async def answer(
        self,
        *,
        before: int,
        thoughts: int = 0,
        drop: Sequence[str] = (),
        settle_ms: int = 400,
        dedented: bool = False,
    ) -> AsyncGenerator[Event, None]:
        """Read the newest answer out of the page as Markdown deltas, until the page is idle again.

        `before` and `thoughts` are how many answers and reasoning parts it showed before the prompt was sent.
        `dedented` is for `MarkdownStream`.

        Raises what the page shows instead (`FAULTS`), BrowserFault where the page dies.
        """
        nonce = secrets.token_hex(8)
        # An Answer serves as the queue: it is bounded, and it carries errors.
        updates = Answer(200, {}, self._tab.url)
        self._tab.observers[nonce] = updates
        streams = {name: MarkdownStream(dedented=dedented) for name in ("text", "reasoning")}
        kinds: dict[str, type[Text] | type[Reasoning]] = {"text": Text, "reasoning": Reasoning}
        roles = {role: self._candidates(role) for role in ("answer", "reasoning", "busy")}
        faults = {role: self._candidates(role) for role in FAULTS if self.has(role)}
        options = {
            "nonce": nonce,
            **roles,
            "faults": faults,
            "before": before,
            "thoughts": thoughts,
            "drop": list(drop),
        }
        options["settleMs"] = settle_ms
        try:
            await self._call("watch", options, timeout_s=10)
            async for payload in updates:
                message = json.loads(payload)
                kind = message["kind"]
                if kind == "fault":
                    raise FAULTS[message["fault"]](f"The site's page shows: {message['text']}")
                if kind == "end":
                    for name, stream in streams.items():
                        if delta := stream.close():
                            yield kinds[name](delta)
                    yield Finished()
                    return
                if delta := streams[kind].feed(message["update"]):
                    yield kinds[kind](delta)
        finally:
            self._tab.observers.pop(nonce, None)
            self._tab.post_call("unwatch", nonce)
