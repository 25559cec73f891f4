"""One request to the relay and how it ended: an answer, an honest error, or neither."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

import httpx

Ending = Literal["answer", "error", "left", "broken"]
ERROR_KEYS = {"message", "type", "param", "code"}
CONNECTIONS = httpx.Limits(max_connections=None, max_keepalive_connections=50, keepalive_expiry=30)


@dataclass(slots=True)
class Outcome:
    """How a request ended. `broken` says what is dishonest about it; empty for an answer or one honest error."""

    request_id: str
    model: str
    status: int = 0
    text: str = ""
    reasoning: str = ""
    rest: str = ""
    """Everything else that the body said, as JSON."""
    finish: str = ""
    code: str = ""
    message: str = ""
    retry_after: str = ""
    answer_ids: tuple[str, ...] = ()
    broken: str = ""
    left: bool = False
    took_s: float = 0.0
    done: bool = False
    errors: int = 0
    records: list[dict[str, Any]] = field(default_factory=list)

    def __repr__(self) -> str:
        said = self.broken or self.code or self.finish
        return f"<Outcome {self.request_id} {self.model} {self.ending} {said} {self.took_s:.1f} s>"

    @property
    def ending(self) -> Ending:
        """What came of it."""
        if self.left:
            return "left"
        return "broken" if self.broken else "error" if self.code else "answer"

    def evidence(self) -> str:
        """One line for who looks into it."""
        head = f"`{self.request_id}` {self.model}: HTTP {self.status}, {self.took_s:.1f} s"
        if self.broken:
            return f"{head}, broken: {self.broken}; text {self.text[-120:]!r}"
        return f"{head}, {self.code}: {self.message[:200]}" if self.code else f"{head}, {self.text[-120:]!r}"


class Caller:
    """An API key's holder at a server; an async context manager. A request may take `deadline_s`."""

    def __init__(self, url: str, key: str = "", *, deadline_s: float) -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self.deadline_s = deadline_s
        self._http = httpx.AsyncClient(
            base_url=url, headers=headers, timeout=None, limits=CONNECTIONS, trust_env=False, verify=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def health(self) -> dict[str, Any]:
        """`GET /health`."""
        answer = (await self._http.get("/health", timeout=30)).raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    async def ask(
        self,
        model: str,
        messages: Sequence[Mapping[str, Any]],
        *,
        stream: bool = True,
        leave_s: float | None = None,
        **extra: Any,
    ) -> Outcome:
        """One chat, to its end; or until `leave_s`, when the client closes its connection."""
        outcome = Outcome(f"endure-{uuid.uuid4().hex[:16]}", model)
        body = {"model": model, "messages": messages, "stream": stream, **extra}
        began = time.monotonic()
        limit_s = self.deadline_s if leave_s is None else leave_s
        try:
            async with asyncio.timeout(limit_s):
                await self._ask(outcome, body)
        except TimeoutError:
            outcome.left = leave_s is not None
            outcome.broken = "" if outcome.left else f"no end within {limit_s:g} s"
        except httpx.HTTPError as error:
            outcome.broken = f"the connection failed: {error!r}"
        except ValueError as error:
            outcome.broken = f"the body cannot be read: {error!r}"
        else:
            outcome.broken = dishonest(outcome, stream=stream)
        outcome.took_s = time.monotonic() - began
        outcome.records.clear()
        return outcome

    async def _ask(self, outcome: Outcome, body: Mapping[str, Any]) -> None:
        headers = {"x-request-id": outcome.request_id}
        async with self._http.stream("POST", "/v1/chat/completions", json=body, headers=headers) as response:
            outcome.status = response.status_code
            outcome.retry_after = response.headers.get("retry-after", "")
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                take(outcome, json.loads(await response.aread()))
                outcome.done = True
                return
            pending = ""
            async for text in response.aiter_text():
                *events, pending = (pending + text).split("\n\n")
                for event in events:
                    if outcome.done:
                        raise ValueError(f"{event!r} after the end mark")
                    if event == "data: [DONE]":
                        outcome.done = True
                    elif event.startswith("data: "):
                        take(outcome, json.loads(event[6:]))
                    elif not event.startswith(":"):
                        raise ValueError(f"neither data nor a comment: {event[:200]!r}")
            if pending:
                raise ValueError(f"half an event at the end: {pending[:200]!r}")


def take(outcome: Outcome, record: dict[str, Any]) -> None:
    """Note what one JSON record says."""
    outcome.records.append(record)
    if "error" in record:
        error = record["error"]
        outcome.errors += 1
        if set(error) != ERROR_KEYS or not error["code"] or not error["message"]:
            raise ValueError(f"an error that is not OpenAI's: {record}")
        outcome.code, outcome.message = error["code"], error["message"]
        return
    named = (record.get("id"), record.get("conversation_id"))
    outcome.answer_ids = tuple(dict.fromkeys([*outcome.answer_ids, *(name for name in named if name)]))
    for choice in record["choices"]:
        said = dict(choice.get("delta") or choice.get("message") or {})
        outcome.text += said.pop("content", None) or ""
        outcome.reasoning += said.pop("reasoning_content", None) or ""
        outcome.finish = choice.get("finish_reason") or outcome.finish
        if other := {name: value for name, value in said.items() if value and name != "role"}:
            outcome.rest += json.dumps(other)


def dishonest(outcome: Outcome, *, stream: bool) -> str:
    """What is wrong with the form of an ended request; empty where it is a whole answer or one error."""
    if outcome.errors:
        if outcome.errors > 1 or "error" not in outcome.records[-1]:
            return f"{outcome.errors} errors, and not one at the end"
        if outcome.finish:
            return f"an error after finish_reason {outcome.finish}"
        if not stream and outcome.status < 400:
            return f"an error with HTTP {outcome.status}"
        if outcome.status == 429 and not re.fullmatch(r"[1-9]\d*", outcome.retry_after):
            return f"429 with Retry-After {outcome.retry_after!r}"
        return ""
    if outcome.status != 200:
        return f"HTTP {outcome.status} without an error"
    if not outcome.finish:
        return "an end without finish_reason"
    return "" if outcome.done else "a stream without its end mark"
