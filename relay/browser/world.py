"""A world: a JavaScript context of a page that holds our code, made anew after each navigation."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import Callable
from importlib.resources import files
from typing import Any, Literal

from loguru import logger

from relay.browser.cdp import CdpError, CdpSession
from relay.errors import BrowserFault, PageLeft, SiteChanged

WorldName = Literal["isolated", "main"]
_NAVIGATED = ("Cannot find context", "No frame for given id")
STAGE_PIECE_BYTES = 768 * 1024
SCRIPTS = ("fetch", "screen", "markdown")


def _sources() -> str:
    parts = {name: (files("relay.browser") / f"{name}.js").read_text("utf-8") for name in SCRIPTS}
    return ",".join(f"{name}: ({source.strip().rstrip(';')})" for name, source in parts.items())


class World:
    """Our functions in the page's main frame. `isolated` is unseen by the page; `main` shares its globals."""

    def __init__(
        self, session: CdpSession, name: WorldName, on_message: Callable[[str], None], main: Callable[[], int | None]
    ) -> None:
        self._session = session
        self._name = name
        self._main = main
        self._binding = f"relay_{secrets.token_hex(8)}"
        self._on_message = on_message
        self._context: int | None = None
        self._setup: asyncio.Task[int] | None = None
        self._bound = False
        session.on("Runtime.bindingCalled", self._on_binding)

    def __repr__(self) -> str:
        return f"<World {self._name} context={self._context}>"

    def _on_binding(self, params: dict[str, Any]) -> None:
        if params["name"] == self._binding:
            self._on_message(params["payload"])

    def lost(self, context: int | None = None) -> bool:
        """A context (or, with None, every one) is gone; says whether it was ours."""
        if self._context is None or context not in (None, self._context):
            return False
        self._context = None
        return True

    async def ready(self) -> int:
        """The execution context that holds our functions; several callers share one set-up."""
        if self._context is not None:
            return self._context
        if self._setup is None or self._setup.done():
            self._setup = asyncio.create_task(self._make())
            self._setup.add_done_callback(lambda task: task.cancelled() or task.exception())  # all may have left
        return await asyncio.shield(self._setup)

    async def _make(self) -> int:
        session = self._session
        if not self._bound:
            scope = {"executionContextName": "relay"} if self._name == "isolated" else {}
            await session.send("Runtime.addBinding", {"name": self._binding, **scope})
            self._bound = True
        if self._name == "isolated":
            tree = await session.send("Page.getFrameTree")
            frame = tree["frameTree"]["frame"]["id"]
            made = await session.send("Page.createIsolatedWorld", {"frameId": frame, "worldName": "relay"})
            context = int(made["executionContextId"])
        else:
            known = self._main()
            if known is None:
                raise BrowserFault("The page has no script context (it is still loading, or it crashed).")
            context = known
        # The functions sit in a closure kept by a symbol, which in the main world no page script can guess.
        name = json.dumps(self._binding)
        source = (
            f"(() => {{ const made = {{{_sources()}}}; const post = globalThis[{name}]; const own = made.fetch(post);"
            f"globalThis[Symbol.for({name})] = {{...own, ...made.screen(post, own.files, made.markdown)}};"
            "return 1; })()"
        )
        try:
            reply = await session.send(
                "Runtime.evaluate", {"expression": source, "returnByValue": True, "contextId": context}
            )
        except CdpError as error:
            if "Inspected target navigated" in str(error):  # only functions were set up: it can be done anew
                raise CdpError(f"{_NAVIGATED[0]}: the page has gone on.") from None
            raise
        if "exceptionDetails" in reply:
            raise SiteChanged("a page that runs our functions", _exception(reply))
        self._context = context
        return context

    async def call(self, function: str, *arguments: Any, timeout_s: float = 15, wait: bool = True) -> Any:
        """Call one of our functions by its dotted name with JSON arguments; returns its JSON result."""
        code = f"function(...a) {{ return globalThis[Symbol.for({json.dumps(self._binding)})].{function}(...a); }}"
        return await self.evaluate(code, *arguments, timeout_s=timeout_s, wait=wait)

    async def evaluate(self, code: str, *arguments: Any, timeout_s: float = 15, wait: bool = True) -> Any:
        """Call a function given as source. A context that died before the call was taken is made anew, once."""
        for attempt in (1, 2):
            context = None
            try:
                context = await self.ready()
                reply = await self._session.send(
                    "Runtime.callFunctionOn",
                    {
                        "functionDeclaration": code,
                        "executionContextId": context,
                        "arguments": [{"value": argument} for argument in arguments],
                        "returnByValue": True,
                        "awaitPromise": wait,
                    },
                    timeout_s=timeout_s,
                )
            except CdpError as error:
                if attempt == 1 and navigated(error):
                    self.lost(context)
                    continue
                raise PageLeft(f"The page navigated away under a call ({error}). Send the request again.") from None
            if "exceptionDetails" in reply:
                raise PageException(_exception(reply))
            return reply["result"].get("value")
        raise AssertionError("unreachable")

    async def stage(self, data: bytes) -> str:
        """Put bytes into the page, in pieces that a DevTools message carries well; returns their key."""
        key = secrets.token_hex(8)
        for at in range(0, max(len(data), 1), STAGE_PIECE_BYTES):
            piece = base64.b64encode(data[at : at + STAGE_PIECE_BYTES]).decode("ascii")
            await self.call("stage", key, piece)
        logger.trace("staged {} bytes", len(data))
        return key


def navigated(error: CdpError) -> bool:
    """Whether a command failed because the page's document went away under it."""
    return any(mark in str(error) for mark in _NAVIGATED)


class PageException(Exception):
    """A function of ours threw in the page."""


def _exception(reply: dict[str, Any]) -> str:
    details = reply["exceptionDetails"]
    return str(details.get("exception", {}).get("description") or details.get("text", ""))[:500]
