"""An HTTP answer as it arrives, whoever asked for it: our in-page fetch or the page itself."""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress

from relay.errors import (
    BrowserFault,
    CutAnswer,
    LoginNeeded,
    RateLimited,
    RelayError,
    SiteChanged,
    SiteUnavailable,
)

MAX_ANSWER_BYTES = 256 * 1024 * 1024
REFUSAL_S, REFUSAL_QUIET_S, MAX_REFUSAL_BYTES = 5.0, 0.5, 20_000


class Answer:
    """Status, headers, and the body's bytes in order. Filled from one side, iterated once from the other."""

    def __init__(self, status: int, headers: Mapping[str, str], url: str) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.url = url
        self.received_bytes = 0
        self.complete = False
        """Set by the reader that saw the answer's own end mark: what still comes is not cut off."""
        self._chunks: deque[bytes] = deque()
        self._end: RelayError | bool = False
        self._wake: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Answer {self.status} {self.content_type or '-'} {self.received_bytes} bytes, ended={bool(self._end)}>"

    @property
    def content_type(self) -> str:
        """The media type, lower case, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def ended(self) -> bool:
        """Whether the last byte (or an error) is here."""
        return bool(self._end)

    @property
    def torn(self) -> bool:
        """Whether it broke off."""
        return isinstance(self._end, RelayError)

    def push(self, data: bytes) -> None:
        """Add bytes; for the side that fills."""
        self.received_bytes += len(data)
        if self.received_bytes > MAX_ANSWER_BYTES:
            self.finish(SiteUnavailable(f"The site's answer is larger than {MAX_ANSWER_BYTES >> 20} MiB."))
            return
        self._chunks.append(data)
        self._notify()

    def finish(self, error: RelayError | None = None) -> None:
        """No more bytes; the first call counts."""
        if not self._end:
            self._end = error or True
            self._notify()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            while self._chunks:
                yield self._chunks.popleft()
            if self._end:
                if isinstance(self._end, RelayError):
                    raise self._end
                return
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake

    async def read(self) -> bytes:
        """The whole body. Raises what ended it early."""
        return b"".join([chunk async for chunk in self])

    async def raise_for_status(self, *, sends_prompt: bool = True) -> None:
        """Turn an HTTP refusal into its error; with `sends_prompt` a refusal means the prompt was not accepted."""
        if self.status < 400:
            return
        raise status_error(self.status, self.headers, await self.refusal(), sends_prompt=sends_prompt)

    async def refusal(self) -> str:
        """What a refusal says, as far as it comes soon: an answer that its page does not read may never end."""
        said = bytearray()
        size = self.headers.get("content-length", "")
        enough = min(int(size) if size.isdecimal() else MAX_REFUSAL_BYTES, MAX_REFUSAL_BYTES)
        now = asyncio.get_running_loop().time
        latest = now() + REFUSAL_S
        with suppress(TimeoutError, CutAnswer, BrowserFault):
            async with asyncio.timeout_at(latest) as clock:
                async for chunk in self:
                    said += chunk
                    if len(said) >= enough:
                        break
                    clock.reschedule(min(latest, now() + REFUSAL_QUIET_S))
        return said[:MAX_REFUSAL_BYTES].decode("utf-8", "replace")

    def expect(self, *content_types: str) -> None:
        """Raise SiteChanged unless the media type is one of these (an HTML page in place of an answer, say)."""
        if self.content_type not in content_types:
            raise SiteChanged(" or ".join(content_types), f"{self.content_type or 'no content type'} at {self.url}")


def _message(body: str) -> str:
    """What an error body says to people: the message in its JSON, or plain text; nothing of an HTML page."""
    if body.lstrip().startswith("<"):
        return ""
    try:
        found = json.loads(body)
    except ValueError:
        return body
    for key in ("error", "detail", "message", "msg"):
        if isinstance(found, dict) and found.get(key):
            found = found[key]
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)


def status_error(status: int, headers: Mapping[str, str], body: str, *, sends_prompt: bool) -> RelayError:
    """The error of an HTTP status, by the rules of the house: 401/403/429 mean `not accepted`."""
    words = " ".join(_message(body).split())[:200]
    said = f" It said: {words}" if words else ""
    if status in (401, 403):
        error = LoginNeeded(
            f"The site answered HTTP {status}: the login has expired or is refused.{said}", refused=sends_prompt
        )
        error.renewable = status == 401
        return error
    after = headers.get("retry-after", "")
    seconds = float(after) if re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{0,9})?", after) else None
    if status == 429:
        return RateLimited(
            f"The site limits this account (HTTP 429).{said}", retry_after_s=seconds, refused=sends_prompt
        )
    if status >= 500:
        return SiteUnavailable(f"The site answered HTTP {status}.{said}", retry_after_s=seconds)
    return SiteChanged("HTTP 200", f"HTTP {status}.{said}")
