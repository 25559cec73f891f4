"""What DeepSeek's calls must look like (fact sheet sections 4, 7, 8); anything else does not validate."""

from __future__ import annotations

import re
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tests.replicas.exchange import Exchange, Refused

MAX_PROMPT_CHARS = 2_621_440
ModelType = Literal["default", "expert", "vision"]

CLIENT = {
    "x-client-platform": r"web",
    "x-client-version": r"\d+\.\d+\.\d+",
    "x-app-version": r"\d+\.\d+\.\d+|\d{8}\.\d+",
    "x-client-locale": r"zh_CN|en_US",
    "x-client-timezone-offset": r"0|-?[1-9]\d{2,4}",
}
"""The headers of every call, as patterns; the offset is seconds, east positive."""

INVALID, NO_SESSION, BUSY, MISPLACED, UNFIT, POW = 40000, 1, 2, 3, 4, 40300
"""Codes of refusals. The sheet knows that they are not zero, and no more: do not rely on these."""

B = TypeVar("B", bound="Strict")


class Strict(BaseModel):
    """No coercion, no unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())


class CreateRequest(Strict):
    """``{}``; an older page sent the first field, the phone's client the second."""

    character_id: None = None
    agent: Literal["chat"] | None = None


class ChallengeRequest(Strict):
    """What the proof is for: the two paths that the sheet names."""

    target_path: Literal["/api/v0/chat/completion", "/api/v0/file/upload_file"]


class ChatRequest(Strict):
    """The body of ``chat/completion``; every field is sent, also the empty ones."""

    chat_session_id: str
    parent_message_id: int | None
    model_type: ModelType
    prompt: str = Field(min_length=1)
    ref_file_ids: list[str]
    thinking_enabled: bool
    search_enabled: bool
    action: None
    preempt: Literal[False]


class ContinueRequest(Strict):
    """An answer that stopped as INCOMPLETE is to go on."""

    chat_session_id: str
    message_id: int
    fallback_to_resume: Literal[True]


class RegenerateRequest(Strict):
    """Make an answer (``child_message_id``) once more; the sheet leaves the rest open, so it may be absent."""

    chat_session_id: str
    child_message_id: int
    thinking_enabled: bool | None = None
    search_enabled: bool | None = None


class StopRequest(Strict):
    """A running answer is to end."""

    chat_session_id: str
    message_id: int


class SessionRequest(Strict):
    """A conversation."""

    chat_session_id: str


class Nothing(Strict):
    """``{}``."""


def envelope(data: object = None, *, biz_code: int = 0, biz_msg: str = "") -> dict[str, Any]:
    """The shape of every JSON answer."""
    return {"code": 0, "msg": "", "data": {"biz_code": biz_code, "biz_msg": biz_msg, "biz_data": data}}


def outer_error(code: int, msg: str) -> dict[str, Any]:
    """An error that is told outside the envelope's inner part."""
    return {"code": code, "msg": msg, "data": None}


def refusal(biz_code: int, biz_msg: str, why: str = "") -> Refused:
    """HTTP 200 with a code inside that is not zero."""
    return Refused(200, why or biz_msg, envelope(biz_code=biz_code, biz_msg=biz_msg))


def json_body(exchange: Exchange, shape: type[B]) -> B:
    """The validated JSON body. Raises Refused (415, 400) with what is wrong."""
    if exchange.header("content-type").partition(";")[0] != "application/json":
        why = f"content-type {exchange.header('content-type')!r}"
        raise Refused(415, why, outer_error(INVALID, "unsupported content type"))
    try:
        # The recorded body went through json, because pydantic's own JSON mode would accept what JSON.parse does not.
        return shape.model_validate(exchange.record.body)
    except ValidationError as invalid:
        raise Refused(400, f"body: {invalid}", outer_error(INVALID, "invalid body")) from invalid


def check_headers(exchange: Exchange, expected: dict[str, str]) -> None:
    """Raises Refused (400) unless each header fits its pattern."""
    for name, pattern in expected.items():
        if not re.fullmatch(pattern, exchange.header(name)):
            why = f"{name}: {exchange.header(name)!r}"
            raise Refused(400, why, outer_error(INVALID, f"bad header {name}"))
