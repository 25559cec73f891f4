"""`POST /v1/chat/completions`."""

from __future__ import annotations

import asyncio
import dataclasses
import time
import uuid
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from relay.api import errors, tokens
from relay.api.answer import Limits
from relay.api.openai.chunks import Frame
from relay.api.openai.messages import messages_of
from relay.api.openai.responses import StreamedAnswer, Wanted, WholeAnswer
from relay.api.openai.schema import ChatBody
from relay.chat import usage
from relay.chat.conversation import digest_files
from relay.chat.models import resolve
from relay.chat.request import ChatRequest, ModelChoice
from relay.errors import BadRequest
from relay.pool.face import Offer, Pool
from relay.settings import Settings

router = APIRouter()

_DOCUMENTED = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ChatBody"}}},
    }
}


@router.post("/chat/completions", openapi_extra=_DOCUMENTED)
async def create(request: Request, bearer: tokens.Bringer) -> Response:
    """Answer a chat, streamed or whole."""
    settings: Settings = request.app.state.settings
    pool: Pool = request.app.state.pool
    body = read(await request.body())
    check(body)
    offers = pool.offers(everything=True)
    choice, ignored = choose(body, offers)
    caller, brought = bearer.at(choice.site, offers)
    messages = messages_of(body)
    if any(message.attachments for message in messages):
        await asyncio.to_thread(digest_files, messages)
    # Not the request's id: clients may repeat that one.
    frame = Frame(id=f"chatcmpl-{uuid.uuid4().hex}", created=int(time.time()), model=body.model)
    chat = pool.submit(
        ChatRequest(
            id=request.state.request_id,
            choice=choice,
            messages=messages,
            caller=caller,
            conversation_id=body.conversation_id or None,
            answer_id=frame.id,
            tokens=brought,
        )
    )
    wanted = Wanted(
        limits=Limits(
            stop=tuple(body.stop or ()),
            max_tokens=body.token_limit,
            silent=choice.silent,
            list_sources=settings.sources == "list",
        ),
        prompt_tokens=usage.prompt_tokens(messages),
        with_usage=bool(body.stream_options and body.stream_options.include_usage),
        ignored=tuple(ignored),
    )
    if not body.stream:
        return WholeAnswer(chat, frame, wanted)
    return StreamedAnswer(
        chat, frame, wanted, commit_after_s=settings.commit_after_s, keep_alive_s=settings.keep_alive_s
    )


def read(raw: bytes) -> ChatBody:
    """The body, validated. Raises BadRequest with the path of what is wrong."""
    try:
        return ChatBody.model_validate_json(raw)
    except ValidationError as error:
        raise errors.invalid(error) from None


def check(body: ChatBody) -> None:
    """Refuse what would have to be done but cannot be. Raises BadRequest."""
    if body.n is not None and body.n != 1:
        raise BadRequest("n: a chat page gives one answer; only n=1 is possible.", param="n")
    for tools, choice in (("tools", "tool_choice"), ("functions", "function_call")):
        if getattr(body, tools) and _forced(getattr(body, choice)):
            raise BadRequest(
                f"{choice}: tool calls are not there yet, so none can be required. "
                "With 'auto' or 'none' the tools are ignored and the answer is text.",
                param=choice,
            )


def _forced(choice: Any) -> bool:
    """Whether a tool must be called."""
    if isinstance(choice, dict):
        allowed = choice.get("allowed_tools")
        mode = allowed.get("mode") if isinstance(allowed, dict) else choice.get("mode")
        return mode not in ("auto", "none") and choice.get("type") not in ("auto", "none")
    return choice not in (None, "auto", "none")


def choose(body: ChatBody, offers: Sequence[Offer]) -> tuple[ModelChoice, list[str]]:
    """The model with the body's switches in it, and the fields that have no effect. Raises UnknownModel."""
    choice = resolve(body.model, offers)
    ignored = body.ignored()
    meant = (choice.site, choice.model, choice.account)
    offer = next((one for one in offers if (one.site, one.key, one.account) == meant), None)
    thinking, search = body.wants_thinking, body.wants_search
    # Clients send these to every model they know: where the model has no such switch, that is no error.
    if thinking and not (offer and offer.thinking):
        ignored.append(thinking)
        thinking = ""
    if search and not (offer and offer.search):
        ignored.append(search)
        search = ""
    choice = dataclasses.replace(
        choice, thinking=choice.thinking or bool(thinking), search=choice.search or bool(search)
    )
    return choice, ignored
