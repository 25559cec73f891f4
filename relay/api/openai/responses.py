"""`/v1/responses`: answers in OpenAI's newer words, kept for later where the client does not say otherwise."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import ValidationError
from starlette.responses import Response

from relay.api import errors, tokens
from relay.api.begin import Ask, begin
from relay.api.kept import Kept, Shelf, Shelves
from relay.api.openai.messages import read_messages
from relay.api.openai.response_events import ResponseRenderer
from relay.api.openai.response_items import listed, output_place
from relay.api.openai.response_object import echo
from relay.api.openai.response_schema import ResponseBody
from relay.api.openai.schema import MessageIn
from relay.api.toolbox import answer_form, tool_use
from relay.errors import BadRequest, ResponseNotFound
from relay.pool.face import Pool
from relay.settings import Settings

router = APIRouter()

_DOCUMENTED = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ResponseBody"}}},
    }
}


@router.post("/responses", openapi_extra=_DOCUMENTED)
async def create(request: Request, bearer: tokens.Bringer) -> Response:
    """Answer, streamed or whole."""
    body = read(await request.body())
    settings: Settings = request.app.state.settings
    shelves: Shelves = request.app.state.shelves
    caller, shelf = _shelf(request, bearer)
    given = await _resolved(body.input, shelf, caller)
    before: list[Kept] = []
    if body.previous_response_id:
        if body.named:
            raise BadRequest(
                "previous_response_id: it cannot stand beside a conversation; leave one of them out.",
                param="previous_response_id",
            )
        before = await shelf.chain(body.previous_response_id, caller, settings.max_body_mib << 20)
    ask = asked(body, given, before)
    name = f"resp_{uuid.uuid4().hex}"
    store = body.store is not False and shelves.keeps
    common = echo(body, ask.tools, ask.form, name=name, created=int(time.time()), store=store)

    def keep(response: dict[str, Any]) -> None:
        shelf.keep(Kept(caller, response, listed(given, name)))

    return await begin(request, bearer, ask, name, ResponseRenderer(common, keep if store else None))


@router.get("/responses/{name}")
async def retrieve(request: Request, name: str, bearer: tokens.KnownBearer, stream: bool = False) -> dict[str, Any]:
    """A kept answer, whole."""
    if stream:
        raise BadRequest("stream: an answer that is kept is given whole; ask for it without stream.", param="stream")
    caller, shelf = _shelf(request, bearer)
    return (await shelf.get(name, caller)).body


@router.delete("/responses/{name}")
async def delete(request: Request, name: str, bearer: tokens.KnownBearer) -> dict[str, Any]:
    """Forget an answer."""
    caller, shelf = _shelf(request, bearer)
    await shelf.delete(name, caller)
    return {"id": name, "object": "response", "deleted": True}


@router.get("/responses/{name}/input_items")
async def input_items(
    request: Request,
    name: str,
    bearer: tokens.KnownBearer,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> dict[str, Any]:
    """What the request of a kept answer brought, without what it continued."""
    caller, shelf = _shelf(request, bearer)
    return page((await shelf.get(name, caller)).input, after, limit, order)


def _shelf(request: Request, bearer: tokens.Bearer) -> tuple[str, Shelf]:
    """Whose answers, and where they are."""
    pool: Pool = request.app.state.pool
    shelves: Shelves = request.app.state.shelves
    caller = bearer.whose(pool.offers(everything=True))
    return caller, shelves.of(caller)


def read(raw: bytes) -> ResponseBody:
    """The body, validated. Raises BadRequest with the path of what is wrong."""
    try:
        return ResponseBody.model_validate_json(raw)
    except ValidationError as error:
        raise errors.invalid(error) from None


async def _resolved(given: Sequence[MessageIn] | None, shelf: Shelf, caller: str) -> list[MessageIn]:
    """The input with the items of kept answers in place of references to them. Raises BadRequest."""
    items: list[MessageIn] = []
    known: dict[str, list[dict[str, Any]]] = {}
    for index, item in enumerate(given or ()):
        name = str(item.id)
        if item.type != "item_reference" or name.startswith("rs_"):  # reasoning says nothing to a site
            items.append(item)
            continue
        where = f"input[{index}].id"
        place = output_place(name)
        try:
            if place is None:
                raise ResponseNotFound("")
            response, at = place
            if response not in known:
                known[response] = (await shelf.get(response, caller)).body["output"]
            items.append(MessageIn.model_validate(known[response][at]))
        except (ResponseNotFound, IndexError):
            raise BadRequest(f"{where}: item {name[:80]!r} is not kept; send the item itself.", param=where) from None
    return items


def asked(body: ResponseBody, given: Sequence[MessageIn], before: Sequence[Kept]) -> Ask:
    """What the body asks for, after the answers `before` it. Raises BadRequest for what cannot be done."""
    if not given:
        raise BadRequest("input: text, or at least one item, is needed.", param="input")
    said = [MessageIn.model_validate(item) for kept in before for item in (*kept.input, *_spoken(kept))]
    messages = read_messages(given, "input", body.instructions, said)
    parallel = body.parallel_tool_calls is not False
    use, skipped = tool_use(body.tools, body.tool_choice, messages, parallel=parallel)
    return Ask(
        model=body.model,
        messages=messages,
        stream=bool(body.stream),
        max_tokens=body.max_output_tokens,
        tools=use,
        form=answer_form(body.text.format if body.text else None, param="text.format"),
        thinking=body.wants_thinking,
        search=body.wants_search,
        conversation_id=body.named or _conversation(before),
        ignored=(*body.ignored(), *skipped),
    )


def _spoken(kept: Kept) -> list[dict[str, Any]]:
    """What of an answer's output a site's history has."""
    return [item for item in kept.body["output"] if item["type"] != "reasoning"]


def _conversation(before: Sequence[Kept]) -> str | None:
    """The last answer, where the chain began in a conversation by its name: the rest of that only the site knows."""
    named = any(kept.body.get("conversation") for kept in before)
    return before[-1].body["id"] if named else None


def page(items: Sequence[dict[str, Any]], after: str | None, limit: int, order: str) -> dict[str, Any]:
    """A page of a list of items. Raises BadRequest where none is the one to go on `after`."""
    ordered = list(items) if order == "asc" else list(reversed(items))
    if after:
        ids = [item["id"] for item in ordered]
        if after not in ids:
            raise BadRequest(f"after: there is no item {after[:80]!r} in this list.", param="after")
        ordered = ordered[ids.index(after) + 1 :]
    shown = ordered[:limit]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else "",
        "last_id": shown[-1]["id"] if shown else "",
        "has_more": len(ordered) > limit,
    }
