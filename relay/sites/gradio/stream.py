"""The two streams that carry a Gradio answer ("Answer stream" A and B of the fact sheet)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Literal

from relay.browser.answer import status_error
from relay.browser.tab import Response
from relay.chat.events import Event, Finished, Progress
from relay.errors import RateLimited, RelayError, SiteChanged, SiteError, SiteUnavailable, TooLarge
from relay.sites.answered import Answered, read
from relay.sites.base import Reader
from relay.sites.gradio.answer import AnswerView, answered, is_chat
from relay.wire.patch import Document, gradio
from relay.wire.sse import SseDecoder, SseEvent

QUOTA = re.compile(r"exceeded your (\w+ )?GPU quota|No GPU was available", re.IGNORECASE)


def app_error(said: object) -> RelayError:
    """The error an app reports: its text, or None where it hides its errors."""
    text = said.strip() if isinstance(said, str) else ""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]  # Gradio 4 reports repr(message)
    if QUOTA.search(text):
        return RateLimited(f"The app's GPU quota is used up: {text}")
    if not text:
        return SiteError("The app failed and does not say why (it was launched with show_error off).")
    return SiteError(f"The app reported an error: {text}")


def refuse(reply: Response) -> None:
    """Raise what an HTTP refusal means (section "Errors"). Raises nothing below 400."""
    if reply.status < 400:
        return
    html = reply.text.lstrip().startswith("<")
    if reply.status == 503 and "Queue is full" in reply.text:
        raise RateLimited("The app's queue is full.", retry_after_s=10, refused=True)
    if reply.status == 503 and html:
        raise SiteUnavailable("The Space is asleep, building or paused; it wakes when asked, within minutes.")
    if reply.status == 413:
        raise TooLarge("The file is larger than this Gradio app takes.")
    # Of an event that it does not have an app says in plain text that it failed; what stands before it has other forms.
    unknown = reply.status == 500 and not reply.text.lstrip().startswith(("{", "<"))
    if unknown or reply.status in (404, 422):
        raise SiteChanged("an event of the app", f"HTTP {reply.status}: {'HTML' if html else reply.text}", refused=True)
    raise status_error(reply.status, reply.headers, reply.text, sends_prompt=True)


class Output(Answered):
    """`output` of a queue message."""

    data: list[Any] | None = None
    error: str | None = None


class Unit(Answered):
    """One bar of gr.Progress."""

    desc: str | None = None


class Message(Answered):
    """One message of `/queue/data` (section B)."""

    msg: str
    event_id: str | None = None
    output: Output | None = None
    success: bool = True
    rank: int | None = None
    queue_size: int | None = None
    log: str | None = None
    message: str | None = None
    session_not_found: bool = False
    progress_data: list[Unit] | None = None


class QueueReader(Reader[SseEvent]):
    """`/queue/data` of one step of a chat: whole values first, then diffs, whole values again at the end.

    `slot` is the step's output that shows the answer, None where it shows none, or "chat": whichever output
    is a chatbot's (the page's own traffic, where the step is not known). Only a `final` step ends the answer.
    """

    frames = SseDecoder

    def __init__(
        self,
        view: AnswerView | None = None,
        slot: int | Literal["chat"] | None = "chat",
        *,
        final: bool = True,
        diffs: bool = True,
        trusted: bool = True,
    ) -> None:
        self._view = view or AnswerView(tidied=True)
        self._slot = slot
        self._final = final
        self._diffs = diffs
        """Whether diffs come at all; not where `simple_format` was asked for."""
        self._trusted = trusted or not diffs
        """Whether diffs of what is not plain text may be believed: not of objects that the app's function keeps
        and changes, since Gradio then compares them with themselves."""
        self._documents: dict[str, tuple[int, Document] | None] = {}
        self.data: list[Any] = []
        """All outputs of the event that completed."""
        self._open: set[str] = set()
        """Events that have begun and are not complete."""
        self._stepped = False

    def feed(self, frame: SseEvent) -> Iterator[Event]:
        """The events of one message. Raises what the app or its queue reports."""
        said = read(Message, frame.data, "a message of Gradio's queue")
        output = said.output or Output()
        if said.msg.startswith("process_") and said.event_id:
            (self._open.discard if said.msg == "process_completed" else self._open.add)(said.event_id)
        match said.msg:
            case "estimation":
                yield Progress(f"place {(said.rank or 0) + 1} of {said.queue_size or 1} in the app's queue")
            case "process_starts":
                yield Progress("the app has started")
            case "progress":
                yield Progress(next((unit.desc for unit in said.progress_data or () if unit.desc), "progress"))
            case "log":
                yield Progress(said.log or "log")
            case "process_generating" | "process_streaming" | "process_completed" if not said.success:
                raise app_error(output.error)
            case "process_generating" | "process_streaming":
                yield from self._growing(said.event_id or "", output.data or []) or [Progress("working")]
            case "process_completed":
                yield from self._completed(output.data)
            case "unexpected_error":
                lost = " (it lost the session)" if said.session_not_found else ""
                raise SiteError(f"The app's server failed{lost}: {said.message or 'no reason given'}")
            case "server_stopped":
                raise SiteUnavailable("The app's server is shutting down.")
            case _:  # heartbeat is no sign of progress; close_stream ends the stream
                return

    @property
    def goes_on(self) -> bool:
        """Between two steps: what has begun is complete, and none of it was the answer."""
        return self._stepped and not self._open

    def _growing(self, event: str, data: list[Any]) -> list[Event]:
        if event not in self._documents or not self._diffs:
            slot = self._find(data)
            self._documents[event] = None if slot is None else (slot, Document(data[slot]))
            known = self._documents[event]
        elif (known := self._documents[event]) is not None and known[0] < len(data):
            gradio(known[1], data[known[0]])
        if known is None:
            return []
        value = known[1].value
        if self._trusted or isinstance(value, str):
            return self._view.feed(value)
        self._view.objects = True
        return []

    def _completed(self, data: list[Any] | None) -> Iterator[Event]:
        if data is None:
            raise SiteError("The answer was stopped at the app.")
        self.data, self._stepped = data, True
        slot = self._find(data)
        if not self._final:
            yield from self._view.feed(data[slot]) if slot is not None else ()
            yield Finished()
        elif slot is not None and (self._slot != "chat" or answered(data[slot])):
            yield from self._view.close(data[slot])

    def _find(self, data: list[Any]) -> int | None:
        if self._slot == "chat":
            return next((n for n, value in enumerate(data) if is_chat(value)), None)
        return self._slot if self._slot is not None and self._slot < len(data) else None


class CallReader(Reader[SseEvent]):
    """`/call/<name>/<event>`: named events, cumulative values (section A)."""

    frames = SseDecoder

    def __init__(self, view: AnswerView) -> None:
        self._view = view

    def feed(self, frame: SseEvent) -> Iterator[Event]:
        """The events of one frame. Raises what the app reports."""
        try:
            said = json.loads(frame.data)
        except ValueError:
            raise SiteChanged("JSON in a /call stream", frame.data[:200]) from None
        match frame.event, said:
            case "generating", [value, *_]:
                yield from self._view.feed(value) or [Progress("working")]
            case "complete", [value, *_]:
                yield from self._view.close(value)
            case "complete", None:
                raise SiteError("The answer was stopped at the app.")
            case "error", {"error": text}:
                raise app_error(text)
            case "error", text:
                raise app_error(text)
            case "heartbeat", _:
                return
            case _:
                raise SiteChanged("generating, complete, error or heartbeat", f"{frame.event}: {frame.data[:200]}")
