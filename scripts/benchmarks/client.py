"""The measuring client: one lean reader of streams, the same for the site itself and for the relay.

Every text piece of the scripted answer begins with `⟨index:time_ns⟩`, written by the replica just before the bytes go
out; the client notes when each mark is here. All clocks are `time.time_ns()` of one machine.
"""

from __future__ import annotations

import json
import re
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.replicas import Replicas
from tests.replicas.kimi import Tokens
from tests.replicas.kimi.calls import chat_call

MARK = re.compile(r"⟨(\d+):(\d+)⟩")
PROMPT = "Why is the sky blue?"
TIMEOUT_S = 90.0
LIMITS = httpx.Limits(max_connections=128, max_keepalive_connections=128, keepalive_expiry=60)
_HEAD_BYTES = 5


class BenchError(Exception):
    """The run cannot go on, and why."""


@dataclass(slots=True)
class Reading:
    """One answer as the client met it. Times are `time.time_ns()`."""

    asked_ns: int
    marks: list[tuple[int, int, int]] = field(default_factory=list)
    """(index, written by the site, read here) of each piece."""
    text: str = ""
    done_ns: int = 0
    """When the end mark was here; 0 where the client left before."""
    left_ns: int = 0

    @property
    def first_token_ms(self) -> float:
        """From the request to the first piece of text."""
        return (self.marks[0][2] - self.asked_ns) / 1e6

    @property
    def delays_ms(self) -> list[float]:
        """Of each piece, from the site's write to its reading here."""
        return [(read - written) / 1e6 for _, written, read in self.marks]

    @property
    def end_ms(self) -> float:
        """From the site's last piece (its end mark follows at once) to the end mark here."""
        return (self.done_ns - self.marks[-1][1]) / 1e6

    def faults(self, count: int) -> int:
        """How many of `count` pieces are missing, doubled or out of their place."""
        indexes = [index for index, _, _ in self.marks]
        return sum(1 for place in range(max(count, len(indexes))) if indexes[place : place + 1] != [place])


class Texts(ABC):
    """Bytes of an answer in, its new text out; `done` once the end mark was read."""

    def __init__(self) -> None:
        self.done = False
        self._pending = b""

    @abstractmethod
    def feed(self, data: bytes) -> str:
        """Text that `data` completes."""


class ConnectTexts(Texts):
    """The replica's own stream: Connect envelopes of JSON (Kimi fact sheet section 5)."""

    def feed(self, data: bytes) -> str:
        """Text that `data` completes."""
        pending = self._pending + data
        parts: list[str] = []
        at = 0
        while len(pending) >= at + _HEAD_BYTES:
            end = at + _HEAD_BYTES + int.from_bytes(pending[at + 1 : at + _HEAD_BYTES], "big")
            if len(pending) < end:
                break
            frame = json.loads(pending[at + _HEAD_BYTES : end])
            if "error" in frame:
                raise BenchError(f"the replica refused: {frame}")
            parts.append(frame.get("block", {}).get("text", {}).get("content", ""))
            self.done = self.done or bool(pending[at] & 2)
            at = end
        self._pending = pending[at:]
        return "".join(parts)


class SseTexts(Texts):
    """The relay's stream: `chat.completion.chunk` events."""

    def feed(self, data: bytes) -> str:
        """Text that `data` completes."""
        *events, self._pending = (self._pending + data).split(b"\n\n")
        parts: list[str] = []
        for event in events:
            if event == b"data: [DONE]":
                self.done = True
            elif event.startswith(b"data: "):
                chunk = json.loads(event[6:])
                if "error" in chunk:
                    raise BenchError(f"the relay failed: {chunk}")
                parts += [choice["delta"].get("content") or "" for choice in chunk["choices"]]
        return "".join(parts)


class Endpoint(ABC):
    """Something that answers the prompt with the scripted answer."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    @abstractmethod
    def request(self) -> httpx.Request:
        """The one request that asks."""

    @abstractmethod
    def texts(self) -> Texts:
        """A decoder of its answer."""

    async def ask(self, *, leave_after: int | None = None) -> Reading:
        """Ask, and read to the end, or leave after so many pieces. Raises BenchError for anything but an answer."""
        request, texts = self.request(), self.texts()
        reading = Reading(time.time_ns())
        seen = 0
        response = await self._client.send(request, stream=True)
        try:
            if response.status_code != 200:
                raise BenchError(f"HTTP {response.status_code}: {(await response.aread())[:500]!r}")
            async for data in response.aiter_raw():
                now_ns = time.time_ns()
                reading.text += texts.feed(data)
                for mark in MARK.finditer(reading.text, seen):
                    reading.marks.append((int(mark[1]), int(mark[2]), now_ns))
                    seen = mark.end()
                if texts.done and not reading.done_ns:
                    reading.done_ns = now_ns
                if leave_after is not None and len(reading.marks) >= leave_after:
                    break
            else:
                if not texts.done or not reading.marks:
                    raise BenchError(f"the answer ended without its end mark: {reading.text[-200:]!r}")
        finally:
            reading.left_ns = time.time_ns()
            await response.aclose()
        return reading

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


class Straight(Endpoint):
    """The replica itself, by plain httpx: what no relay can beat."""

    def __init__(self, replicas: Replicas, tokens: Tokens) -> None:
        super().__init__(replicas.client("www.kimi.com", timeout=TIMEOUT_S, limits=LIMITS))
        self._tokens = tokens

    def request(self) -> httpx.Request:
        """The call that the fetch driver makes too."""
        return self._client.build_request("POST", **chat_call(self._tokens.access, PROMPT, thinking=False))

    def texts(self) -> Texts:
        """Connect."""
        return ConnectTexts()


class Relay(Endpoint):
    """A relay server."""

    def __init__(self, url: str) -> None:
        super().__init__(httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S, limits=LIMITS, trust_env=False))

    def request(self) -> httpx.Request:
        """What any OpenAI client sends."""
        body = {"model": "kimi", "stream": True, "messages": [{"role": "user", "content": PROMPT}]}
        return self._client.build_request("POST", "/v1/chat/completions", json=body)

    def texts(self) -> Texts:
        """SSE."""
        return SseTexts()

    async def _health(self) -> Any:
        return (await self._client.get("/health")).raise_for_status().json()

    async def accounts(self) -> list[str]:
        """The state of each account."""
        return [account["state"] for account in (await self._health())["accounts"]]

    async def tabs(self) -> int:
        """How many pages are open."""
        return sum(account["tabs"] for account in (await self._health())["accounts"])

    async def browser(self) -> str:
        """The version of its browser."""
        version = re.search(r"Chromium ([\d.]+)", (await self._health())["browser"])
        return version[1] if version else ""
