"""From what a client asks, in whichever API's words, to the chat that answers it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from fastapi import Request
from starlette.responses import Response

from relay.api import auth
from relay.api.answer import Limits
from relay.api.canned import CannedChat
from relay.api.compare import CompareChat
from relay.api.delivery import Answer, StreamedAnswer, Wanted, WholeAnswer
from relay.api.gathering import Gatherer
from relay.api.kept_media import MediaKeeper
from relay.api.key_usage import KeyUsage, Meter
from relay.api.rendering import Renderer
from relay.api.replay import Replays, claim_of
from relay.api.tokens import Bearer
from relay.api.tooled import ToolChat, wants_reading
from relay.chat import usage
from relay.chat.conversation import digest_files
from relay.chat.models import compared, resolve
from relay.chat.request import ChatRequest, Message, ModelChoice
from relay.chat.side_calls import side_call
from relay.chat.tools import AnswerForm, ToolUse
from relay.errors import BadRequest
from relay.pool.face import Chat, Offer, Pool
from relay.settings import Settings


@dataclass(frozen=True)
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

    @cached_property
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
    ask, said = beside(ask, settings.side_calls)
    chosen = [choose(replace(ask, model=name), offers) for name in compared(ask.model, offers)]
    choices = [choice for choice, _ in chosen]
    if len(choices) > 1:
        check_comparison(ask)
    callers = [bearer.at(choice.site, offers) for choice in choices]
    claim = await claim_of(request, "+".join(dict.fromkeys(caller for caller, _ in callers)))
    replays: Replays = request.app.state.replays
    if claim is not None and (found := replays.find(claim)) is not None:
        return found
    gatherer: Gatherer = request.app.state.gatherer
    # Stored files are a key's: who brings site tokens in its place has none.
    messages = await gatherer.gathered(ask.messages, bearer.holder.id if bearer.holder else "", request.receive)
    if any(message.attachments for message in messages):
        await asyncio.to_thread(digest_files, messages)
    # Another with the same key may have come meanwhile. From here on nothing waits: the second finds the first.
    if claim is not None and (found := replays.find(claim)) is not None:
        return found
    asked = [
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
        )
        for choice, (caller, brought) in zip(choices, callers, strict=True)
    ]
    prompt_tokens = ask.prompt_tokens * len(asked)
    meter = metered(request, bearer, 0 if said else len(asked))
    with meter.beginning():
        chat = CannedChat(request.state.request_id, said) if said else submitted(pool, asked)
    wanted = Wanted(
        limits=Limits(
            stop=ask.stop,
            max_tokens=ask.max_tokens,
            silent=all(choice.silent for choice in choices),
            list_sources=settings.sources == "list",
        ),
        prompt_tokens=prompt_tokens,
        meter=meter,
        ignored=tuple(name for name in chosen[0][1] if all(name in ignored for _, ignored in chosen)),
        keeper=media_keeper(request, bearer),
    )
    answer = answer_of(chat, renderer, wanted, settings, stream=ask.stream)
    return answer if claim is None else replays.record(claim, answer, request)


def answer_of(chat: Chat, renderer: Renderer, wanted: Wanted, settings: Settings, *, stream: bool) -> Answer:
    """The chat as an HTTP answer."""
    if not stream:
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


def beside(ask: Ask, setting: str) -> tuple[Ask, str]:
    """What becomes of a side call of a chat UI (RELAY_SIDE_CALLS): asked of another model, or its answer.

    Any other request stays as it is, and its answer is empty. Raises BadRequest for a side call that is refused.
    """
    # With tools, or in a conversation that the client names, it is a chat whatever it says.
    is_chat = setting == "chat" or (ask.tools is not None and ask.tools.tools) or _names_conversation(ask)
    call = None if is_chat else side_call(ask.messages)
    if call is None:
        return ask, ""
    if setting == "refuse":
        raise BadRequest(
            f"This asks for {call.kind} beside a chat, which this server refuses (RELAY_SIDE_CALLS). Switch it off in "
            "your chat client.",
            param="messages",
        )
    if setting == "local":
        return ask, call.answer
    return replace(ask, model=setting.removeprefix("model:")), ""


def metered(request: Request, bearer: Bearer, chats: int) -> Meter:
    """The request on its key's account. The first of its chats was counted when the key was read.

    Raises RateLimited, BadRequest for more chats than the key may ever have.
    """
    keys: auth.Keys = request.app.state.keys
    key_usage: KeyUsage = request.app.state.key_usage
    if chats > 1 and bearer.holder is not None:
        keys.pace.spend(bearer.holder, chats - 1, counted=1)
    return key_usage.begin(bearer.holder if chats else None, chats)


def submitted(pool: Pool, asked: Sequence[ChatRequest]) -> Chat:
    """The pool's chat, in which calls and JSON are read where the request wants them; or several of it, compared."""
    if len(asked) > 1:
        return CompareChat(pool.submit, [replace(one, id=f"{one.id}.{n}") for n, one in enumerate(asked, 1)])
    [one] = asked
    return ToolChat(pool.submit, one) if wants_reading(one) else pool.submit(one)


def check_comparison(ask: Ask) -> None:
    """Raises BadRequest for what only one model can do."""
    if _names_conversation(ask):
        raise BadRequest(
            "conversation_id: a comparison cannot be continued on a site. Send the whole history, or name one model.",
            param="conversation_id",
        )
    if ask.form is not None or (ask.tools is not None and ask.tools.tools and ask.tools.choice != "none"):
        raise BadRequest(
            "Several models are compared in text only: name one model for tools or a form of answer.", param="model"
        )


def _names_conversation(ask: Ask) -> bool:
    return ask.conversation_id not in (None, "", "none")


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
    choice = replace(choice, thinking=choice.thinking or bool(thinking), search=choice.search or bool(search))
    return choice, ignored
