"""What Kimi sends, validated, and the reader of its answers (sections 2, 3, 5, 7 and 9 of the fact sheet)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from relay.browser.answer import status_error
from relay.browser.tab import Response
from relay.chat.events import Event, Finished, Progress, Reasoning, Started, Text, Turned
from relay.errors import ConversationNotFound, CutAnswer, LoginNeeded, RateLimited, RelayError, SiteChanged, SiteError
from relay.sites.answered import Answered, read
from relay.sites.base import Reader
from relay.wire.connect import ConnectDecoder, Envelope, is_end


class Sent(Answered):
    """Base of what the site sends: camelCase."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Part(Sent):
    """A block's text; `flags` told reasoning from answer in older builds."""

    content: str = ""
    flags: str = ""


class Block(Sent):
    """A block of the assistant's message."""

    think: Part | None = None
    text: Part | None = None
    multi_stage: dict[str, Any] | None = None


class Message(Sent):
    """A message's head; its own blocks are echoes and are not read."""

    id: str = ""
    role: str = ""
    status: str = ""


class Chat(Sent):
    """A chat's head."""

    id: str = ""


class Fault(Sent):
    """An error inside HTTP 200."""

    code: str = ""
    message: str = ""


class Frame(Sent):
    """One frame of the answer stream (section 5)."""

    mask: str = ""
    chat: Chat | None = None
    message: Message | None = None
    block: Block | None = None
    error: Fault | None = None
    done: dict[str, Any] | None = None


class User(Sent):
    """`user` of GetCurrentUser."""

    id: str
    nickname: str = ""


class CurrentUser(Sent):
    """GetCurrentUser."""

    user: User


class AvailableModel(Sent):
    """One of GetAvailableModels."""

    scenario: str
    id: str = ""
    key: str = ""
    display_name: str = ""


class AvailableModels(Sent):
    """GetAvailableModels."""

    available_models: list[AvailableModel]


class UploadedFile(Sent):
    """`file` of an upload."""

    id: str


class Uploaded(Sent):
    """The answer to an upload."""

    file: UploadedFile


class Parsing(Sent):
    """One of `progresses`."""

    status: str


class ParseProgress(Sent):
    """GetFileParseProgress."""

    progresses: list[Parsing] = Field(min_length=1)


A = TypeVar("A", bound=Sent)


def parsed(model: type[A], response: Response, *, sends_prompt: bool = False) -> A:
    """A unary answer, validated. Raises the error of its status, or SiteChanged."""
    if response.status >= 400:
        raise status_error(response.status, response.headers, response.text, sends_prompt=sends_prompt)
    return read(model, response.body, f"{model.__name__} of Kimi")


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
        said = read(Frame, frame.data or b"{}", "a frame of Kimi's stream")
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
