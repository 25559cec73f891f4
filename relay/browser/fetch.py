"""In-page fetch: the site's API called from inside its own page, chunks back through a CDP binding."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from relay.browser.answer import Answer
from relay.browser.world import WorldName
from relay.errors import CutAnswer, RelayError, SiteUnavailable

if TYPE_CHECKING:
    from relay.browser.tab import Tab

DRAIN_S = 5.0
"""How long an answer whose end mark was read may still take to close by itself before it is aborted."""
STAGE_OVER_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class FormPart:
    """One part of a multipart body: a field, or a file when `filename` is given."""

    name: str
    data: bytes | str
    filename: str = ""
    mime: str = "application/octet-stream"


Body = str | bytes | Sequence[FormPart] | None
Credentials = Literal["include", "omit"]
"""Whether cookies go along; another host may allow only requests without."""


class FetchCall:
    """One running fetch; its messages come in by `receive`."""

    def __init__(self, tab: Tab, url: str, world: WorldName) -> None:
        self.nonce = secrets.token_hex(8)
        self.head: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.answer: Answer | None = None
        self._tab = tab
        self._url = url
        self._world = world

    def receive(self, kind: str, payload: str) -> None:
        """One message of `fetch.js`."""
        if kind == "d" and self.answer is not None:
            self.answer.push(base64.b64decode(payload))
        elif kind == "h":
            said = json.loads(payload)
            self.answer = Answer(said["status"], _join(said["headers"]), said["url"] or self._url)
            if not self.head.done():
                self.head.set_result(self.answer)
        elif kind == "e" and self.answer is not None:
            self.answer.finish()
            self._tab.calls.pop(self.nonce, None)
        elif kind == "x":
            said = json.loads(payload)
            if said["head"]:
                self.fail(CutAnswer(f"The site's answer broke off ({said['message']}). Send the request again."))
            else:
                self.fail(SiteUnavailable(f"The site could not be reached from its page ({said['message']})."))

    def fail(self, error: RelayError) -> None:
        """End the call with an error, wherever it stands."""
        self._tab.calls.pop(self.nonce, None)
        if self.answer is not None:
            self.answer.finish(error)
        elif not self.head.done():
            self.head.set_exception(error)
            self.head.exception()  # nobody may be waiting any more

    def abort(self) -> None:
        """Stop the fetch in the page, without waiting."""
        if self._tab.calls.pop(self.nonce, None) is not None:
            self._tab.post_call("abort", self.nonce, world=self._world)

    def release(self) -> None:
        """The consumer is done: a fully read answer may close by itself, any other is aborted now."""
        if self.answer is not None and self.answer.complete and not self.answer.ended:
            asyncio.get_running_loop().call_later(DRAIN_S, self.abort)
        else:
            self.abort()


def _join(headers: list[list[str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in headers:
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined


async def encode_body(tab: Tab, body: Body, world: WorldName) -> dict[str, Any] | None:
    """Lay a body out for `fetch.js`; what is large goes ahead in pieces."""
    if body is None:
        return None
    if isinstance(body, str):
        return {"text": body}
    if isinstance(body, bytes):
        if len(body) > STAGE_OVER_BYTES:
            return {"staged": await tab.world(world).stage(body)}
        return {"base64": base64.b64encode(body).decode("ascii")}
    form: list[dict[str, str]] = []
    for part in body:
        if isinstance(part.data, str) and not part.filename:
            form.append({"name": part.name, "value": part.data})
        else:
            data = part.data.encode() if isinstance(part.data, str) else part.data
            key = await tab.world(world).stage(data)
            form.append({"name": part.name, "staged": key, "filename": part.filename or "file", "type": part.mime})
    return {"form": form}


@asynccontextmanager
async def stream(
    tab: Tab,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: Body,
    world: WorldName,
    redirect: Literal["follow", "manual", "error"],
    credentials: Credentials = "include",
) -> AsyncIterator[Answer]:
    """Run one fetch; the answer is yielded once its head is here, and aborted when the block is left early."""
    call = FetchCall(tab, url, world)
    encoded = await encode_body(tab, body, world)
    tab.calls[call.nonce] = call
    try:
        await tab.world(world).call(
            "start",
            {
                "nonce": call.nonce,
                "url": url,
                "method": method,
                "headers": dict(headers),
                "body": encoded,
                "redirect": redirect,
                "credentials": credentials,
            },
        )
        yield await call.head
    finally:
        call.release()
