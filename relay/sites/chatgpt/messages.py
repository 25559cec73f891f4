"""What ChatGPT sends, validated (sections 2, 3, 5, 7, 8 and 10 of the fact sheet)."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeVar

from pydantic import AliasPath, BaseModel, ConfigDict, Field, PlainValidator, ValidationError, model_validator

from relay.browser.tab import Response
from relay.errors import SiteChanged
from relay.sites.chatgpt.faults import refusal


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a string was due")
    return value


Words = Annotated[str, PlainValidator(_text)]
"""A string that may hold half a character: pydantic's own refuses it."""


QUERY = re.compile(r"""(?:\bsearch\(|"q":)\s*(["'])((?:(?!\1|\\).)+)\1""")
"""A query in a call of the web tool. The sheet does not tell its form: what is another is not shown."""


class Sent(BaseModel):
    """Base of what the site sends: null is absent, and unknown fields are its own business."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _without_null(cls, value: Any) -> Any:
        return {key: one for key, one in value.items() if one is not None} if isinstance(value, dict) else value


class Page(Sent):
    """A web page: a search result, or what a citation names."""

    url: str = ""
    title: Words = ""
    snippet: Words = ""


class Group(Sent):
    """Search results of one domain."""

    entries: list[Page] = []


class Reference(Sent):
    """A citation: what the mark `matched_text` in the answer stands for."""

    matched_text: Words = ""
    alt: Words = ""
    items: list[Page] = []
    sources: list[Page] = []
    safe_urls: list[str] = []

    @property
    def pages(self) -> list[Page]:
        """The pages it names."""
        pages = [page for page in self.items or self.sources if page.url]
        return pages or [Page(url=url) for url in self.safe_urls]


class Metadata(Sent):
    """What a message says beside its content."""

    search_result_groups: list[Group] = []
    content_references: list[Reference] = []
    is_visually_hidden_from_conversation: bool = False
    image_gen_task_id: str = ""
    finish_reason: str = Field("", validation_alias=AliasPath("finish_details", "type"))


class Thought(Sent):
    """A step of the reasoning."""

    summary: Words = ""
    content: Words = ""


class Content(Sent):
    """A message's content; `parts` are strings and objects such as pictures."""

    content_type: str = ""
    parts: list[Any] = []
    thoughts: list[Thought] = []
    text: Any = None

    @property
    def words(self) -> str:
        """The text of its parts."""
        return "".join(part for part in self.parts if isinstance(part, str))

    @property
    def pictures(self) -> list[str]:
        """The pointers of its pictures (`sediment://file_1`)."""
        pointers = [part.get("asset_pointer") for part in self.parts if isinstance(part, dict)]
        return [pointer for pointer in pointers if isinstance(pointer, str) and "://" in pointer]


class Message(Sent):
    """One message of a conversation."""

    id: str = ""
    role: str = Field("", validation_alias=AliasPath("author", "role"))
    content: Content = Content()
    status: str = ""
    end_turn: bool = False
    recipient: str = "all"
    channel: str = ""
    metadata: Metadata = Metadata()

    @property
    def is_answer(self) -> bool:
        """Whether its text is for the user. (Builds without channels told by recipient alone.)"""
        spoken = self.role == "assistant" and self.content.content_type in ("text", "multimodal_text")
        return spoken and self.recipient == "all" and self.channel in ("final", "")

    @property
    def searches(self) -> list[str]:
        """What a whole call of the web tool looks for, as far as its form can be told: it is progress, and no more."""
        if self.role != "assistant" or not self.recipient.startswith("web") or self.status != "finished_successfully":
            return []
        call = self.content.text if isinstance(self.content.text, str) else self.content.words
        return [found[1] for found in QUERY.findall(call)]


class Snapshot(Sent):
    """A message as it stands: what a delta adds, and a whole event of streams without deltas."""

    message: Message | None = None
    conversation_id: str = ""
    error: Any = None


class Moderation(Sent):
    """What the site's own censor says."""

    blocked: bool = False


class Option(Sent):
    """One way in which an answer goes on elsewhere."""

    type: str = ""
    topic_id: str = ""


class Notice(Sent):
    """An event that is no delta."""

    type: str
    conversation_id: str = ""
    moderation_response: Moderation = Moderation()
    content_references: list[Reference] = []
    options: list[Option] = []
    error: Any = None


class Node(Sent):
    """One place in a conversation's tree."""

    message: Message | None = None
    parent: str = ""


class Conversation(Sent):
    """A conversation read back (section 4, step 7)."""

    current_node: str
    mapping: dict[str, Node]


class StreamStatus(Sent):
    """`stream_status` of a conversation."""

    status: str


class User(Sent):
    """`GET /backend-api/me`."""

    id: str
    email: str = ""
    name: str = ""


class Session(Sent):
    """`GET /api/auth/session`; without a token nobody is logged in."""

    access_token: str = Field("", alias="accessToken")


class Done(Sent):
    """The answer to a change, or the end of an upload."""

    success: bool = True
    status: str = "success"


class Download(Sent):
    """Where a file can be had."""

    download_url: str


S = TypeVar("S", bound=Sent)


def parsed(model: type[S], response: Response) -> S:
    """A whole answer, validated. Raises the error of its status, or SiteChanged."""
    if response.status >= 400:
        raise refusal(response.status, response.headers, response.text, sends_prompt=False)
    try:
        return model.model_validate_json(response.body)
    except ValidationError as error:
        raise SiteChanged(f"{model.__name__} of ChatGPT", f"{_first(error)}: {response.text[:200]}") from None


def file_read(body: bytes) -> bool:
    """Whether the site has read a file, as it answers the page that uploaded it. Raises SiteChanged."""
    try:
        return Done.model_validate_json(body).status == "success"
    except ValidationError as error:
        raise SiteChanged("Done of ChatGPT", f"{_first(error)}: {body[:200]!r}", refused=True) from None


def checked(model: type[S], value: object) -> S:
    """A part of a stream, validated. Raises SiteChanged."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise SiteChanged(f"{model.__name__} in ChatGPT's stream", f"{_first(error)}: {value!r:.200}") from None


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
