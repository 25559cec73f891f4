"""The requests and answers of one TCP connection, cut from its bytes, and what each answer has to be."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import h11

from tests.api import anthropic_events, raw, responses
from tests.spec import ANTHROPIC, validate, validate_response

Judge = Callable[[Any], object]
"""Raises AssertionError where a value is not what it has to be."""


def _schema(name: str) -> Judge:
    return partial(validate, name)


def _chat_stream(text: str) -> None:
    stream = raw.parse(text)
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in stream.chunks}) == 1
    assert stream.done == (stream.error is None)
    assert len(stream.finish) == stream.done, "a finished answer has one finish_reason, a failed one none"


def _deleted_response(said: Any) -> None:
    """OpenAI's description has no schema for it, its reference an example."""
    assert said.keys() == {"id", "object", "deleted"}
    assert (said["object"], said["deleted"]) == ("response", True)


STREAMS: dict[str, Judge] = {
    raw.CHAT: _chat_stream,
    responses.RESPONSES: responses.parse,
    anthropic_events.MESSAGES: anthropic_events.parse,
}
"""By path."""
WHOLE: tuple[tuple[str, Judge | None], ...] = (
    (r"POST /v1/chat/completions", _schema("CreateChatCompletionResponse")),
    (r"POST /v1/responses", validate_response),
    (r"GET /v1/responses/[^/]+", validate_response),
    (r"DELETE /v1/responses/[^/]+", _deleted_response),
    (r"POST /v1/messages", partial(validate, "Message", file=ANTHROPIC)),
    (r"POST /v1/messages/count_tokens", partial(validate, "MessageTokensCount", file=ANTHROPIC)),
    (r"GET /v1/models", _schema("ListModelsResponse")),
    (r"POST /v1/images/generations", _schema("ImagesResponse")),
    (r"POST /v1/files", _schema("OpenAIFile")),
    (r"GET /v1/files", _schema("ListFilesResponse")),
    (r"GET /v1/files/[^/]+", _schema("OpenAIFile")),
    (r"DELETE /v1/files/[^/]+", _schema("DeleteFileResponse")),
    (r"GET /v1/files/[^/]+/content", None),
)
"""By method and path; None = a client's own bytes."""


@dataclass(frozen=True)
class Exchange:
    """One request and its answer. `complete`: false where the client left before the answer's end."""

    method: str
    path: str
    asked: bytes
    status: int
    content_type: str
    answer: bytes
    complete: bool

    def __repr__(self) -> str:
        return f"<Exchange {self.method} {self.path} {self.status} {len(self.answer)} bytes complete={self.complete}>"

    @property
    def request(self) -> Any:
        """The request's JSON."""
        return json.loads(self.asked)

    def check(self) -> None:
        """Raise AssertionError where the answer is not whole, or not what its API's description says."""
        assert self.complete, f"{self}: the client left"
        if self.content_type == "text/event-stream":
            assert self.status == 200, self
            assert self.path in STREAMS, f"no schema is known for the events of {self}"
            STREAMS[self.path](self.answer.decode("utf-8"))
        elif (judge := self._judge()) is not None:
            assert self.content_type == "application/json", self
            judge(json.loads(self.answer))

    def _judge(self) -> Judge | None:
        if self.status >= 400:
            of_anthropic = self.path.startswith(anthropic_events.MESSAGES)
            return anthropic_events.check_error if of_anthropic else _schema("ErrorResponse")
        found = [judge for pattern, judge in WHOLE if re.fullmatch(pattern, f"{self.method} {self.path}")]
        assert found, f"no schema is known for {self}"
        return found[0]


def exchanges(up: bytes, down: bytes) -> Iterator[Exchange]:
    """Those of a connection, from the bytes that the client and the server sent. HTTP/1.1 without pipelining."""
    asking, answering = h11.Connection(h11.SERVER), h11.Connection(h11.CLIENT)
    asking.receive_data(up)
    answering.receive_data(down)
    while isinstance(request := asking.next_event(), h11.Request):
        asked, _ = _body(asking)
        answering.send(h11.Request(method=request.method, target=request.target, headers=[("host", "relay")]))
        answering.send(h11.EndOfMessage())
        head = answering.next_event()
        while isinstance(head, h11.InformationalResponse):
            head = answering.next_event()
        if not isinstance(head, h11.Response):
            return  # the client left before there was an answer
        answer, complete = _body(answering)
        yield Exchange(
            method=request.method.decode(),
            path=request.target.decode().partition("?")[0],
            asked=asked,
            status=head.status_code,
            content_type=dict(head.headers).get(b"content-type", b"").decode().partition(";")[0],
            answer=answer,
            complete=complete,
        )
        # h11 goes on to the next request only when it has seen this one answered.
        asking.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
        asking.send(h11.EndOfMessage())
        if not complete or h11.MUST_CLOSE in (asking.our_state, answering.our_state, answering.their_state):
            return
        asking.start_next_cycle()
        answering.start_next_cycle()


def _body(connection: h11.Connection) -> tuple[bytes, bool]:
    """The rest of the message, and whether it has an end."""
    body = bytearray()
    while isinstance(event := connection.next_event(), h11.Data):
        body += event.data
    return bytes(body), isinstance(event, h11.EndOfMessage)
