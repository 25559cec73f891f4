"""`POST /v1/messages` and `/v1/messages/count_tokens`."""

from __future__ import annotations

import uuid

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from relay.api import errors, tokens
from relay.api.anthropic.events import Frame, MessageRenderer
from relay.api.anthropic.messages import messages_of
from relay.api.anthropic.schema import MessagesBody
from relay.api.begin import Ask, begin
from relay.api.toolbox import answer_form, tool_use
from relay.chat.models import compared, resolve
from relay.pool.face import Pool

router = APIRouter()

_DOCUMENTED = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/MessagesBody"}}},
    }
}


@router.post("/messages", openapi_extra=_DOCUMENTED)
async def create(request: Request, bearer: tokens.Bringer) -> Response:
    """Answer in Anthropic's words, streamed or whole."""
    body = read(await request.body())
    ask = asked(body)
    frame = Frame(
        id=f"msg_{uuid.uuid4().hex}",
        model=body.model,
        request_id=request.state.request_id,
        input_tokens=ask.prompt_tokens,
        thinking=body.shows_thinking,
    )
    return await begin(request, bearer, ask, frame.id, MessageRenderer(frame))


@router.post("/messages/count_tokens", openapi_extra=_DOCUMENTED)
async def count_tokens(request: Request, bearer: tokens.KnownBearer) -> dict[str, int]:
    """How long the prompt of a message would be, estimated; nothing is sent to a site."""
    ask = asked(read(await request.body()))
    pool: Pool = request.app.state.pool
    offers = pool.offers(everything=True)
    names = compared(ask.model, offers)
    for name in names:
        bearer.at(resolve(name, offers).site, offers)
    return {"input_tokens": ask.prompt_tokens * len(names)}


def read(raw: bytes) -> MessagesBody:
    """The body, validated. Raises BadRequest with the path of what is wrong."""
    try:
        return MessagesBody.model_validate_json(raw)
    except ValidationError as error:
        raise errors.invalid(error) from None


def asked(body: MessagesBody) -> Ask:
    """What the body asks for. Raises BadRequest for what would have to be done but cannot be."""
    messages = messages_of(body)
    use, skipped = tool_use(body.tools, body.choice, messages, parallel=True)
    search = body.wants_search
    if body.output_config and body.output_config.format is not None:
        form = answer_form(body.output_config.format, param="output_config.format")
    else:
        form = answer_form(body.output_format, param="output_format")
    return Ask(
        model=body.model,
        messages=messages,
        stream=bool(body.stream),
        stop=tuple(stop for stop in body.stop_sequences or () if stop),
        max_tokens=body.max_tokens,
        tools=use,
        form=form,
        thinking=body.wants_thinking,
        search=search,
        conversation_id=body.conversation_id,
        # A search by Anthropic is no tool here but a switch of the site's, where it has one.
        ignored=(*body.ignored(), *(kind for kind in skipped if kind != search)),
    )
