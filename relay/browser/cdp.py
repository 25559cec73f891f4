"""The byte path: one small interface over Playwright's pipe and over a direct DevTools socket.

The socket has about a third of the pipe's p99, but any local user can reach its port, so it is a setting
(`RELAY_BROWSER__DIRECT_CDP`). Child targets (workers, cross-origin frames) are attached flattened: only such a
session holds a new worker until we are ready (Playwright resumes it for its own part). Playwright routes no flattened
session but its own, so on the pipe that one only holds, and we speak by `Target.sendMessageToTarget`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import websockets
from loguru import logger
from playwright.async_api import CDPSession

from relay.browser.driver import DRIVER_ERRORS, said
from relay.errors import BrowserFault, CutAnswer, RelayError

Params = dict[str, Any]
Listener = Callable[[Params], None]
GONE = "relay.gone"
"""The event a session emits, once, when its target has died."""
READY_S = 2.0
"""How long a new worker or frame is held for us; a service worker may not answer while it is held."""
DEAD_MARKS = ("closed", "crashed", "Connection closed", "Session with given id not found", "disconnected")


class CdpError(Exception):
    """The browser refused a command (its own words)."""


class CdpSession(ABC):
    """A DevTools session with one target. `fault` is set once the target is dead."""

    def __init__(self) -> None:
        self.fault: RelayError | None = None
        self._listeners: defaultdict[str, list[Listener]] = defaultdict(list)
        self._clocks: set[asyncio.Timeout] = set()

    def on(self, event: str, listener: Listener) -> None:
        """Call `listener(params)` for each `event`, in the order of arrival."""
        self._listeners[event].append(listener)

    def off(self, event: str, listener: Listener) -> None:
        """Stop calling `listener`."""
        self._listeners[event].remove(listener)

    def emit(self, event: str, params: Params) -> None:
        """Hand an event to its listeners; one that fails does not stop the others."""
        for listener in tuple(self._listeners.get(event, ())):
            try:
                listener(params)
            except Exception:
                logger.opt(exception=True).error("a listener of {} failed", event)

    @abstractmethod
    async def command(self, method: str, params: Params) -> Params:
        """Send one command and wait for its answer, without a clock."""

    @abstractmethod
    async def detach(self) -> None:
        """End the session; the target lives on."""

    async def send(self, method: str, params: Params | None = None, *, timeout_s: float = 15) -> Params:
        """Send one command. Raises CdpError when refused, BrowserFault when dead or out of time."""
        if self.fault is not None:
            raise self.fault
        try:
            async with asyncio.timeout(timeout_s) as clock:
                self._clocks.add(clock)
                try:
                    return await self.command(method, params or {})
                finally:
                    self._clocks.discard(clock)
        except TimeoutError:
            hangs = BrowserFault(f"The page did not answer {method} within {timeout_s:g} s; it hangs.")
            raise self.fault or hangs from None

    def fail(self, error: RelayError) -> None:
        """The target is dead. Chromium leaves a dead target's commands unanswered, so all that wait fail here."""
        if self.fault is not None:
            return
        self.fault = error
        for clock in self._clocks:
            if not clock.expired():
                clock.reschedule(0)
        self.emit(GONE, {})

    def post(self, method: str, params: Params | None = None) -> asyncio.Task[None]:
        """Send one command and do not wait; a refusal is only logged."""
        return asyncio.get_running_loop().create_task(self._post(method, params))

    async def _post(self, method: str, params: Params | None) -> None:
        try:
            await self.send(method, params)
        except (CdpError, BrowserFault) as error:
            logger.debug("{} came to nothing: {}", method, error)

    @abstractmethod
    async def adopt(self, attached: Params) -> CdpSession:
        """A session with a target that this one has auto-attached (the parameters of `Target.attachedToTarget`)."""

    @abstractmethod
    async def release(self, child: CdpSession, attached: Params, ready: Iterable[asyncio.Task[None]]) -> None:
        """Let an adopted target run, once the commands posted to it are through."""


def dead_or_refused(message: str) -> Exception:
    """Tell a dead target from a refused command by the browser's words."""
    if any(mark in message for mark in DEAD_MARKS) and "target navigated" not in message:
        return BrowserFault(f"The page or the browser died under the chat ({message.splitlines()[0][:120]}).")
    return CdpError(message.splitlines()[0][:300])


class _PipeAdopts(CdpSession):
    """Adoption on the pipe: spoken to over the browser's session, held by the flattened one until that is dropped."""

    browser: PipeSession | None

    async def adopt(self, attached: Params) -> CdpSession:
        assert self.browser is not None
        target = {"targetId": attached["targetInfo"]["targetId"], "flatten": False}
        reply = await self.browser.send("Target.attachToTarget", target)
        return ChildSession(self.browser, reply["sessionId"])

    async def release(self, child: CdpSession, attached: Params, ready: Iterable[asyncio.Task[None]]) -> None:
        await asyncio.wait(ready, timeout=READY_S)
        await self.send("Target.detachFromTarget", {"sessionId": attached["sessionId"]})


class PipeSession(_PipeAdopts):
    """Playwright's own session, over the browser's pipe. `browser` is that of the whole browser, for children."""

    def __init__(self, session: CDPSession, browser: PipeSession | None = None) -> None:
        super().__init__()
        self.browser = browser
        self._session = session
        self._hooked: set[str] = set()

    def on(self, event: str, listener: Listener) -> None:
        super().on(event, listener)
        if event not in self._hooked:
            self._hooked.add(event)
            self._session.on(event, lambda params: self.emit(event, params))

    async def command(self, method: str, params: Params) -> Params:
        try:
            return dict(await self._session.send(method, params) or {})
        except DRIVER_ERRORS as error:
            raise dead_or_refused(str(error)) from None

    async def detach(self) -> None:
        try:
            await self._session.detach()
        except DRIVER_ERRORS as error:
            logger.debug("detach: {}", said(error))


class _Correlated(CdpSession):
    """Commands and answers matched by number, for transports that carry bare messages."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Params]] = {}

    @abstractmethod
    async def write(self, message: Params) -> None:
        """Put one message on the transport."""

    async def command(self, method: str, params: Params) -> Params:
        number = next(self._numbers)
        future: asyncio.Future[Params] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            await self.write({"id": number, "method": method, "params": params})
            return await future
        finally:
            del self._waiting[number]

    def receive(self, message: Params) -> None:
        """Take one message from the transport."""
        if "id" not in message:
            self.emit(message["method"], message.get("params", {}))
            return
        future = self._waiting.get(message["id"])
        if future is None or future.done():
            return
        if "error" in message:
            future.set_exception(dead_or_refused(message["error"].get("message", "no reason given")))
        else:
            future.set_result(message.get("result", {}))


class ChildSession(_Correlated, _PipeAdopts):
    """A worker or a cross-origin frame, by messages wrapped in the browser's session."""

    def __init__(self, parent: PipeSession, session_id: str) -> None:
        super().__init__()
        self.browser = self.parent = parent
        self.session_id = session_id
        parent.on("Target.receivedMessageFromTarget", self._on_message)
        parent.on("Target.detachedFromTarget", self._on_detached)
        parent.on(GONE, self._on_parent_gone)

    async def write(self, message: Params) -> None:
        await self.parent.command(
            "Target.sendMessageToTarget", {"sessionId": self.session_id, "message": json.dumps(message)}
        )

    def _on_message(self, params: Params) -> None:
        if params["sessionId"] == self.session_id:
            self.receive(json.loads(params["message"]))

    def _on_detached(self, params: Params) -> None:
        if params["sessionId"] == self.session_id:
            self.close()

    def _on_parent_gone(self, _: Params) -> None:
        self.close()

    def close(self) -> None:
        """The target is gone."""
        if self.fault is None:
            self.parent.off("Target.receivedMessageFromTarget", self._on_message)
            self.parent.off("Target.detachedFromTarget", self._on_detached)
            self.parent.off(GONE, self._on_parent_gone)
            self.fail(CutAnswer("A worker or frame of the page went away."))

    async def detach(self) -> None:
        self.close()


class SocketSession(_Correlated):
    """A flattened session on the direct socket."""

    def __init__(self, socket: DevToolsSocket, session_id: str, end: RelayError | None = None) -> None:
        super().__init__()
        self.socket = socket
        self.session_id = session_id
        self.end = end or BrowserFault("The page was closed under the chat.")
        self._children: set[str] = set()
        self.on("Target.detachedFromTarget", lambda params: self._lose(params["sessionId"]))
        self.on(GONE, self._lose_all)
        socket.sessions[session_id] = self

    async def adopt(self, attached: Params) -> CdpSession:
        self._children.add(attached["sessionId"])
        return SocketSession(self.socket, attached["sessionId"], CutAnswer("A worker or frame of the page went away."))

    async def release(self, child: CdpSession, attached: Params, ready: Iterable[asyncio.Task[None]]) -> None:
        await self.socket.release(child, attached, ready)

    def _lose_all(self, _: Params) -> None:
        for child in tuple(self._children):
            self._lose(child)

    def _lose(self, session_id: str) -> None:
        self._children.discard(session_id)
        self.socket.lose(session_id)

    async def write(self, message: Params) -> None:
        message["sessionId"] = self.session_id
        await self.socket.write(message)

    async def detach(self) -> None:
        if self.socket.sessions.pop(self.session_id, None) is not None:
            await self.socket.post("Target.detachFromTarget", {"sessionId": self.session_id})


class DevToolsSocket(_Correlated):
    """One WebSocket to the browser, shared by the sessions of all its tabs."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        super().__init__()
        self._socket = socket
        self.sessions: dict[str, SocketSession] = {}
        self.on("Target.detachedFromTarget", lambda params: self.lose(params["sessionId"]))
        self._pump = asyncio.create_task(self._read())

    @classmethod
    async def connect(cls, address: str) -> DevToolsSocket:
        """Open the browser's own endpoint (`ws://127.0.0.1:<port>/devtools/browser/<id>`)."""
        return cls(await websockets.connect(address, max_size=None, compression=None, ping_interval=None))

    async def write(self, message: Params) -> None:
        try:
            await self._socket.send(json.dumps(message))
        except websockets.ConnectionClosed:
            raise BrowserFault("The browser closed its debugging socket.") from None

    async def attach(self, target_id: str) -> SocketSession:
        """A session of our own with a page."""
        reply = await self.send("Target.attachToTarget", {"targetId": target_id, "flatten": True})
        return SocketSession(self, reply["sessionId"])

    async def adopt(self, attached: Params) -> CdpSession:
        return SocketSession(self, attached["sessionId"])

    async def release(self, child: CdpSession, attached: Params, ready: Iterable[asyncio.Task[None]]) -> None:
        child.post("Runtime.runIfWaitingForDebugger")  # in order, after what was posted before

    def lose(self, session_id: str) -> None:
        """A page, worker or frame went away."""
        if (session := self.sessions.pop(session_id, None)) is not None:
            session.fail(session.end)

    async def _read(self) -> None:
        try:
            async for text in self._socket:
                message = json.loads(text)
                target = self.sessions.get(message["sessionId"]) if "sessionId" in message else self
                if target is not None:
                    target.receive(message)
        except websockets.ConnectionClosed as error:
            logger.debug("the browser's debugging socket closed: {}", error)
        finally:
            for session in (self, *self.sessions.values()):
                session.fail(BrowserFault("The browser closed its debugging socket."))
            self.sessions.clear()

    async def detach(self) -> None:
        await self._socket.close()
        await self._pump
