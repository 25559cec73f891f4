"""From what a client asks, in whichever API's words, to the chat that answers it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import Request
from starlette.responses import Response

from relay.api import auth
from relay.api.answer import Limits
from relay.api.delivery import StreamedAnswer, Wanted, WholeAnswer
from relay.api.gathering import Gatherer
from relay.api.kept_media import MediaKeeper
from relay.api.rendering import Renderer
from relay.api.tokens import Bearer
from relay.api.tooled import ToolChat, wants_reading
from relay.chat import usage
from relay.chat.conversation import digest_files
from relay.chat.models import resolve
from relay.chat.request import ChatRequest, Message, ModelChoice
from relay.chat.tools import AnswerForm, ToolUse
from relay.pool.face import Chat, Offer, Pool
from relay.settings import Settings


@dataclass(frozen=True, slots=True)
class Ask:
    """A chat that a client asks for."""

    model: str
    messages: tuple[Message, ...]
    stream: bool = False
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    tools: ToolUse | None = None
    form: AnswerForm | None = None
    thinking: str = ""
    """The field of the body that asks for reasoning; empty where none does."""
    search: str = ""
    """The field of the body that asks for a web search; empty where none does."""
    conversation_id: str | None = None
    ignored: tuple[str, ...] = ()
    """Fields of the body that have no effect."""

    @property
    def prompt_tokens(self) -> int:
        """How long the prompt is, estimated."""
        return usage.prompt_tokens(self.messages, self.tools)


async def begin(request: Request, bearer: Bearer, ask: Ask, answer_id: str, renderer: Renderer) -> Response:
    """Bring the files and submit the chat. Its answer will be known as `answer_id`.

    Raises RelayError for what fails at once, ClientDisconnect where the client leaves before the files are here.
    """
    settings: Settings = request.app.state.settings
    pool: Pool = request.app.state.pool
    offers = pool.offers(everything=True)
    choice, ignored = choose(ask, offers)
    caller, brought = bearer.at(choice.site, offers)
    gatherer: Gatherer = request.app.state.gatherer
    # Stored files are a key's: who brings site tokens in its place has none.
    messages = await gatherer.gathered(ask.messages, bearer.holder.id if bearer.holder else "", request.receive)
    if any(message.attachments for message in messages):
        await asyncio.to_thread(digest_files, messages)
    chat = submitted(
        pool,
        ChatRequest(
            id=request.state.request_id,
            choice=choice,
            messages=messages,
            caller=caller,
            conversation_id=ask.conversation_id or None,
            answer_id=answer_id,
            tokens=brought,
            tools=ask.tools,
            form=ask.form,
        ),
    )
    wanted = Wanted(
        limits=Limits(
            stop=ask.stop,
            max_tokens=ask.max_tokens,
            silent=choice.silent,
            list_sources=settings.sources == "list",
        ),
        prompt_tokens=ask.prompt_tokens,
        ignored=tuple(ignored),
        keeper=media_keeper(request, bearer),
    )
    if not ask.stream:
        return WholeAnswer(chat, renderer, wanted)
    return StreamedAnswer(
        chat, renderer, wanted, commit_after_s=settings.commit_after_s, keep_alive_s=settings.keep_alive_s
    )


def media_keeper(request: Request, bearer: Bearer) -> MediaKeeper | None:
    """Where the pictures of an answer are kept; nowhere for who brings site tokens in place of a key."""
    if bearer.holder is None:
        return None
    settings: Settings = request.app.state.settings
    called = str(request.app.state.url if auth.is_owner(request) else request.base_url)
    return MediaKeeper(request.app.state.files, bearer.holder.id, (settings.public_url or called).rstrip("/"))


def submitted(pool: Pool, asked: ChatRequest) -> Chat:
    """The pool's chat, in which calls and JSON are read where the request wants them."""
    return ToolChat(pool.submit, asked) if wants_reading(asked) else pool.submit(asked)


def choose(ask: Ask, offers: Sequence[Offer]) -> tuple[ModelChoice, list[str]]:
    """The model with the switches of `ask` in it, and the fields that have no effect. Raises UnknownModel."""
    choice = resolve(ask.model, offers)
    ignored = list(ask.ignored)
    meant = (choice.site, choice.model, choice.account)
    offer = next((one for one in offers if (one.site, one.key, one.account) == meant), None)
    thinking, search = ask.thinking, ask.search
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
