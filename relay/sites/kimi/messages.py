"""What Kimi sends, validated, and the reader of its answers (sections 2, 3, 5, 7 and 9 of the fact sheet)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from relay.browser.answer import status_error
from relay.browser.tab import Response
from relay.chat.events import Event, Finished, Progress, Reasoning, Started, Text, Turned
from relay.errors import ConversationNotFound, CutAnswer, LoginNeeded, RateLimited, RelayError, SiteChanged, SiteError
from relay.sites.base import Reader
from relay.wire.connect import ConnectDecoder, Envelope, is_end


class Answered(BaseModel):
    """Base of what the site sends: camelCase, and unknown fields are its own business."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore")


class Part(Answered):
    """A block's text; `flags` told reasoning from answer in older builds."""

    content: str = ""
    flags: str = ""


class Block(Answered):
    """A block of the assistant's message."""

    think: Part | None = None
    text: Part | None = None
    multi_stage: dict[str, Any] | None = None


class Message(Answered):
    """A message's head; its own blocks are echoes and are not read."""

    id: str = ""
    role: str = ""
    status: str = ""


class Chat(Answered):
    """A chat's head."""

    id: str = ""


class Fault(Answered):
    """An error inside HTTP 200."""

    code: str = ""
    message: str = ""


class Frame(Answered):
    """One frame of the answer stream (section 5)."""

    mask: str = ""
    chat: Chat | None = None
    message: Message | None = None
    block: Block | None = None
    error: Fault | None = None
    done: dict[str, Any] | None = None


class User(Answered):
    """`user` of GetCurrentUser."""

    id: str
    nickname: str = ""


class CurrentUser(Answered):
    """GetCurrentUser."""

    user: User


class AvailableModel(Answered):
    """One of GetAvailableModels."""

    scenario: str
    id: str = ""
    key: str = ""
    display_name: str = ""


class AvailableModels(Answered):
    """GetAvailableModels."""

    available_models: list[AvailableModel]


class UploadedFile(Answered):
    """`file` of an upload."""

    id: str


class Uploaded(Answered):
    """The answer to an upload."""

    file: UploadedFile


class Parsing(Answered):
    """One of `progresses`."""

    status: str


class ParseProgress(Answered):
    """GetFileParseProgress."""

    progresses: list[Parsing] = Field(min_length=1)


A = TypeVar("A", bound=Answered)


def parsed(model: type[A], response: Response, *, sends_prompt: bool = False) -> A:
    """A unary answer, validated. Raises the error of its status, or SiteChanged."""
    if response.status >= 400:
        raise status_error(response.status, response.headers, response.text, sends_prompt=sends_prompt)
    try:
        return model.model_validate_json(response.body)
    except ValidationError as error:
        raise SiteChanged(f"{model.__name__} of Kimi", f"{error.errors()[0]['msg']}: {response.text[:200]}") from None


def site_error(fault: Fault, *, refused: bool) -> RelayError:
    """The error of an error frame, by its Connect code."""
    match fault.code:
        case "unauthenticated" | "permission_denied":
            return LoginNeeded(f"Kimi refuses the login: {fault.message}", refused=refused)
        case "resource_exhausted":
            return RateLimited(f"Kimi limits this account: {fault.message}", refused=refused)
        case "not_found":
            return ConversationNotFound(f"Kimi does not know the conversation: {fault.message}", refused=refused)
        case "invalid_argument":
            return SiteChanged("a request that Kimi takes", f"{fault.code}: {fault.message}")
        case _:
            return SiteError(f"Kimi reports an error ({fault.code or 'no code'}): {fault.message}")


class KimiReader(Reader[Envelope]):
    """The answer stream (section 5)."""

    frames = ConnectDecoder

    def __init__(self) -> None:
        self._conversation = ""
        self._shown = False

    def feed(self, frame: Envelope) -> Iterable[Event]:
        """Events of one envelope."""
        try:
            said = Frame.model_validate_json(frame.data or b"{}")
        except ValidationError as error:
            raise SiteChanged("a frame of Kimi's stream", f"{error.errors()[0]['msg']}: {frame.data[:200]!r}") from None
        if said.error is not None:
            raise site_error(said.error, refused=not self._shown)
        if is_end(frame) or said.done is not None:
            raise CutAnswer("Kimi ended its answer without completing it. Send the request again.")
        if said.chat is not None and said.mask == "chat" and said.chat.id:
            self._conversation = said.chat.id
            yield Started(said.chat.id)
        if said.message is not None:
            yield from self._message(said.mask, said.message)
        if said.block is not None:
            self._shown = True
            yield from self._block(said.block)

    def _message(self, mask: str, message: Message) -> Iterable[Event]:
        if mask == "message" and message.role == "assistant" and message.id:
            self._shown = True
            yield Turned(self._conversation, message.id)
        match message.status:
            case "MESSAGE_STATUS_COMPLETED" if message.role != "user":
                yield Finished("stop")
            case "MESSAGE_STATUS_FAILED" | "MESSAGE_STATUS_ERROR":
                raise SiteError(f"Kimi gave the answer up ({message.status}).")
            case "MESSAGE_STATUS_CANCELLED":
                raise CutAnswer("Kimi cancelled the answer.")

    def _block(self, block: Block) -> Iterable[Event]:
        if block.think is not None and block.think.content:
            yield Reasoning(block.think.content)
        if block.text is not None and block.text.content:
            yield (Reasoning if block.text.flags == "thinking" else Text)(block.text.content)
        if block.multi_stage is not None:
            yield Progress("next stage")
