"""`POST /v1/chat/completions`."""

from __future__ import annotations

import time
import uuid

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from relay.api import errors, tokens
from relay.api.begin import Ask, begin
from relay.api.openai.chunks import ChatRenderer, Frame
from relay.api.openai.messages import messages_of
from relay.api.openai.schema import ChatBody
from relay.api.toolbox import answer_form, tool_use
from relay.errors import BadRequest

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
    body = read(await request.body())
    # Not the request's id: clients may repeat that one.
    frame = Frame(
        id=f"chatcmpl-{uuid.uuid4().hex}",
        created=int(time.time()),
        model=body.model,
        functions=body.functions is not None and body.tools is None,
    )
    renderer = ChatRenderer(frame, with_usage=bool(body.stream_options and body.stream_options.include_usage))
    return await begin(request, bearer, asked(body), frame.id, renderer)


def read(raw: bytes) -> ChatBody:
    """The body, validated. Raises BadRequest with the path of what is wrong."""
    try:
        return ChatBody.model_validate_json(raw)
    except ValidationError as error:
        raise errors.invalid(error) from None


def asked(body: ChatBody) -> Ask:
    """What the body asks for. Raises BadRequest for what would have to be done but cannot be."""
    if body.n is not None and body.n != 1:
        raise BadRequest("n: a chat page gives one answer; only n=1 is possible.", param="n")
    messages = messages_of(body)
    if body.tools is not None or body.functions is None:
        parallel = body.parallel_tool_calls is not False
        use, skipped = tool_use(body.tools, body.tool_choice, messages, parallel=parallel)
    else:
        fields = ("functions", "function_call")
        use, skipped = tool_use(body.functions, body.function_call, messages, parallel=False, fields=fields)
    return Ask(
        model=body.model,
        messages=messages,
        stream=bool(body.stream),
        stop=tuple(body.stop or ()),
        max_tokens=body.token_limit,
        tools=use,
        form=answer_form(body.response_format, param="response_format"),
        thinking=body.wants_thinking,
        search=body.wants_search,
        conversation_id=body.conversation_id,
        ignored=(*body.ignored(), *skipped),
    )
