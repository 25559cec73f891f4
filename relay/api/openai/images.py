"""`POST /v1/images/generations`: a chat with a model that draws, of whose answer only the pictures count."""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import Field, ValidationError
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from relay.api import errors, tokens
from relay.api.answer import media_url
from relay.api.begin import media_keeper
from relay.api.feed import ClientGone, Feed
from relay.api.kept_media import MediaKeeper
from relay.api.key_usage import KeyUsage, Meter
from relay.api.openai.schema import Lenient
from relay.chat.events import Finished, Media, Retracted, Text
from relay.chat.models import resolve
from relay.chat.request import ChatRequest, Message, ModelChoice
from relay.chat.usage import Usage
from relay.errors import BadRequest, ContentRefused, SiteError, UnknownModel
from relay.pool.face import Chat, Offer, Pool

MAX_PROMPT_CHARS = 32_000
ASKED = "Draw a picture, and answer with nothing else: "

router = APIRouter()


class ImageBody(Lenient):
    """What of OpenAI's body has an effect; size, quality and style go into the prompt, where the client wants them."""

    prompt: Annotated[str, Field(min_length=1, max_length=MAX_PROMPT_CHARS)]
    model: str | None = None
    n: int | None = None
    size: Annotated[str | None, Field(max_length=40)] = None
    style: Annotated[str | None, Field(max_length=40)] = None
    response_format: Literal["url", "b64_json"] | None = None
    stream: bool | None = None


_DOCUMENTED = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": ImageBody.model_json_schema()}}}
}


@router.post("/images/generations", openapi_extra=_DOCUMENTED)
async def create(request: Request, bearer: tokens.Bringer) -> Response:
    """Draw a picture."""
    pool: Pool = request.app.state.pool
    try:
        body = ImageBody.model_validate_json(await request.body())
    except ValidationError as error:
        raise errors.invalid(error) from None
    if body.n not in (None, 1):
        raise BadRequest("n: a chat page draws what it draws; only n=1 is possible.", param="n")
    if body.stream:
        raise BadRequest("stream: pictures come whole.", param="stream")
    offers = pool.offers(everything=True)
    choice = chosen(body.model, offers)
    caller, brought = bearer.at(choice.site, offers)
    wishes = [f"{name}: {value}" for name, value in (("size", body.size), ("style", body.style)) if value]
    prompt = ASKED + "\n".join([body.prompt, *wishes])
    asked = ChatRequest(request.state.request_id, choice, (Message("user", prompt),), caller, tokens=brought)
    keeper = media_keeper(request, bearer)
    key_usage: KeyUsage = request.app.state.key_usage
    meter = key_usage.begin(bearer.holder)
    with meter.beginning():
        chat = pool.submit(asked)
    return Drawing(chat, as_bytes=body.response_format == "b64_json", keeper=keeper, meter=meter)


def chosen(name: str | None, offers: Sequence[Offer]) -> ModelChoice:
    """The model that draws, by default the first of an account that is there. Raises UnknownModel naming those."""
    able = [offer for offer in offers if offer.draws]
    if not name and (mine := next((offer for offer in able if offer.ready), None)):
        name = mine.id
    choice = resolve(name, offers) if name else None
    if choice is None or not any((one.site, one.key) == (choice.site, choice.model) for one in able):
        names = ", ".join(offer.id for offer in able) or "none"
        raise UnknownModel(
            f"{name or 'No model'} draws no pictures through relay. Those that do: {names}.", param="model"
        )
    return choice


class Drawing(Response):
    """The pictures of one chat, once it is over."""

    def __init__(self, chat: Chat, *, as_bytes: bool, keeper: MediaKeeper | None, meter: Meter) -> None:
        super().__init__()
        self._meter = meter
        self._keeper = keeper
        self._chat = chat
        self._as_bytes = as_bytes

    def __repr__(self) -> str:
        return f"<Drawing {self._chat!r}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the chat to its end, or until the client leaves."""
        feed = Feed(self._chat, receive)
        failed = True
        try:
            async with feed:
                found = await self._drawn(feed)
                if self._keeper is not None and not self._as_bytes:
                    found = [media for media in await self._keeper.kept(found) if isinstance(media, Media)]
            failed = False
        except ClientGone:
            failed = False
            return
        finally:
            self._meter.end(Usage(0, 0), failed=failed)  # pictures have no tokens
        body = {"created": int(time.time()), "data": [self._entry(media) for media in found]}
        headers = {"cache-control": "no-store", "x-relay-site": self._chat.site, "x-relay-driver": self._chat.driver}
        await JSONResponse(body, headers=headers)(scope, receive, send)

    async def _drawn(self, feed: Feed) -> list[Media]:
        pictures: list[Media] = []
        words: list[str] = []
        while True:
            for event in await feed.take():
                match event:
                    case Media(kind="image"):
                        pictures.append(event)
                    case Text(text):
                        words.append(text)
                    case Retracted(reason):
                        raise ContentRefused(f"The site took the picture back. {reason}")
                    case Finished():
                        if pictures:
                            return pictures
                        said = "".join(words).strip()[:300]
                        raise SiteError(f"The site's model answered in words, not with a picture: {said}", quotes=True)

    def _entry(self, media: Media) -> dict[str, str]:
        if not self._as_bytes:
            return {"url": media_url(media)}
        if not media.data:
            raise SiteError(f"The picture's bytes could not be fetched; ask for its address. It is {media.url}")
        return {"b64_json": base64.b64encode(media.data).decode()}
