"""A chat whose answer may call tools, or must be JSON: both read out of the text that the site's model writes."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace

from loguru import logger

from relay.chat.events import Event, Finished, FinishReason, Started, Text, ToolCall, Turned
from relay.chat.request import ChatRequest, Message
from relay.chat.tool_check import checked, json_answer, missing, repair, repair_form
from relay.chat.tool_parser import ToolParser
from relay.chat.tools import ToolUse
from relay.errors import ToolCallFailed
from relay.pool.face import Chat

Submit = Callable[[ChatRequest], Chat]


def wants_reading(request: ChatRequest) -> bool:
    """Whether calls or JSON are to be read out of the answer."""
    return request.form is not None or _callable(request.tools) is not None


def _callable(use: ToolUse | None) -> ToolUse | None:
    """The tools that the answer may call, if it may any."""
    return use if use is not None and use.tools and use.choice != "none" else None


class ToolChat:
    """The pool's Chat around one of the pool's own, and a second where the first answer must be asked for again.

    Text passes as it comes, up to the first call; JSON that must have a form is held until it is known to have it.
    """

    def __init__(self, submit: Submit, request: ChatRequest) -> None:
        """Submits the request: raises what `submit` does."""
        self._submit = submit
        self._request = request
        self._use = _callable(request.tools)
        self._chat = submit(request)
        self._shown = False
        self._cancelled = False

    def __repr__(self) -> str:
        return f"<ToolChat {self._chat!r} {self._use} {self._request.form}>"

    @property
    def id(self) -> str:
        return self._chat.id

    @property
    def site(self) -> str:
        return self._chat.site

    @property
    def account(self) -> str:
        return self._chat.account

    @property
    def driver(self) -> str:
        return self._chat.driver

    @property
    def queue_ms(self) -> float:
        return self._chat.queue_ms

    @property
    def heard(self) -> str:
        return self._chat.heard

    def note(self) -> str:
        return self._chat.note()

    def delivered(self, text: str, calls: tuple[ToolCall, ...] = ()) -> None:
        self._chat.delivered(text, calls)

    async def cancel(self) -> None:
        self._cancelled = True  # what has ended by itself may yet be asked for again
        await self._chat.cancel()

    async def __aiter__(self) -> AsyncIterator[Event]:
        """The events of the answer that counts. Raises ToolCallFailed where a required form was not kept twice."""
        first = _Reading(self._request, self._use)
        async for event in self._read(first):
            yield event
        if not first.fault or self._cancelled:
            return
        # The fault may repeat what the model wrote, which is not ours to log.
        logger.info("the answer is asked for again: its calls or its JSON cannot be used")
        self._ask_again(first)
        second = _Reading(self._request, self._use, after=self._shown)
        async for event in self._read(second):
            yield event
        if second.fault:
            if self._request.form is not None or (self._use is not None and self._use.choice == "required"):
                raise ToolCallFailed(
                    f"The site's model did not answer in the form that was asked for, not even when told so: "
                    f"{second.fault[:300].rstrip('.')}. Ask for less, or take another model.",
                    quotes=True,
                )
            yield Text(f"\n\n{second.said}" if self._shown else second.said)
            yield Finished("stop")

    async def _read(self, reading: _Reading) -> AsyncIterator[Event]:
        """Events of one answer; none after a fault."""
        async for event in self._chat:
            match event:
                case Text(text):
                    if shown := reading.text(text):
                        yield self._show(shown)
                case Finished(reason):
                    for last in reading.end(reason):
                        yield self._show(last.text) if isinstance(last, Text) else last
                case Started(conversation) | Turned(conversation):
                    reading.conversation = conversation
                    yield event
                case _:
                    yield event

    def _show(self, text: str) -> Text:
        self._shown = True
        return Text(text)

    def _ask_again(self, first: _Reading) -> None:
        """The repair turn: in the same conversation where there is one, else with the whole history."""
        # By the history the conversation is found where there is one. Only what the client named, it may know in part.
        named = self._request.conversation_id not in (None, "", "none")
        heard = self._chat.heard
        self._chat.delivered(first.said)
        said, again = Message("assistant", first.said), Message("user", first.repair)
        self._chat = self._submit(
            replace(
                self._request,
                messages=(*self._request.messages, said, again),
                conversation_id=first.conversation if named else None,
                heard=heard,
            )
        )


class _Reading:
    """One answer on its way through."""

    def __init__(self, request: ChatRequest, use: ToolUse | None, *, after: bool = False) -> None:
        """`after`: words of an earlier answer were shown, so that only calls or a whole answer may follow."""
        self._form = request.form
        self._use = use
        self._after = after
        self._parser = ToolParser([tool.name for tool in use.tools]) if use is not None else None
        self._said: list[str] = []
        self._held: list[str] = []
        self.conversation = ""
        self.fault = ""
        """What is wrong with the answer."""
        self.repair = ""
        """The prompt that asks for it again."""

    @property
    def said(self) -> str:
        """All that the model wrote."""
        return "".join(self._said)

    def text(self, text: str) -> str:
        """What of it is surely text to show."""
        self._said.append(text)
        shown = self._parser.feed(text) if self._parser is not None else text
        if self._form is None and not self._after:
            return shown
        self._held.append(shown)
        return ""

    def end(self, reason: FinishReason) -> Iterator[Text | ToolCall | Finished]:
        """The rest, the calls and the end mark; nothing where there is a fault that may be repaired."""
        rest, calls = "", tuple[ToolCall, ...]()
        if self._parser is not None and self._use is not None:
            parsed = self._parser.close()
            rest = parsed.text
            calls, faults = checked(parsed.calls, self._use)
            faults = tuple(fault for fault in (parsed.fault, *faults) if fault)
            if not faults and (lacking := missing(calls, self._use)):
                faults = (lacking,)
            if faults and reason == "stop":
                self.fault, self.repair = faults[0], repair(faults, self._use)
                return
        rest = "".join([*self._held, rest])
        if self._form is not None and not calls:
            rest, fault = json_answer(rest, self._form)
            if fault and reason == "stop":
                self.fault, self.repair = fault, repair_form(fault, self._form)
                return
        if self._after:
            rest = f"\n\n{rest}" if rest.strip() and not calls else ""
        if rest:
            yield Text(rest)
        for call in calls:
            yield replace(call, id=f"call_{secrets.token_hex(12)}")
        yield Finished("tool_calls" if calls and reason == "stop" else reason)
