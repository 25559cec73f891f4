"""What ChatGPT sends, validated (sections 2, 3, 5, 7, 8 and 10 of the fact sheet)."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeVar

from pydantic import AliasPath, ConfigDict, Field, PlainValidator, model_validator

from relay.browser.tab import Response
from relay.sites.answered import Answered, read
from relay.sites.chatgpt.faults import refusal


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a string was due")
    return value


Words = Annotated[str, PlainValidator(_text)]
"""A string that may hold half a character: pydantic's own refuses it."""


QUERY = re.compile(r"""(?:\bsearch\(|"q":)\s*(["'])((?:(?!\1|\\).)+)\1""")
"""A query in a call of the web tool. The sheet does not tell its form: what is another is not shown."""


class Sent(Answered):
    """Base of what the site sends: null is absent."""

    model_config = ConfigDict(populate_by_name=True)

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

    entries: list[Page] = Field(default_factory=list)


class Reference(Sent):
    """A citation: what the mark `matched_text` in the answer stands for."""

    matched_text: Words = ""
    alt: Words = ""
    items: list[Page] = Field(default_factory=list)
    sources: list[Page] = Field(default_factory=list)
    safe_urls: list[str] = Field(default_factory=list)

    @property
    def pages(self) -> list[Page]:
        """The pages it names."""
        pages = [page for page in self.items or self.sources if page.url]
        return pages or [Page(url=url) for url in self.safe_urls]


class Metadata(Sent):
    """What a message says beside its content."""

    search_result_groups: list[Group] = Field(default_factory=list)
    content_references: list[Reference] = Field(default_factory=list)
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
    parts: list[Any] = Field(default_factory=list)
    thoughts: list[Thought] = Field(default_factory=list)
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
    content_references: list[Reference] = Field(default_factory=list)
    options: list[Option] = Field(default_factory=list)
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
    return read(model, response.body, f"{model.__name__} of ChatGPT")


def file_read(body: bytes) -> bool:
    """Whether the site has read a file, as it answers the page that uploaded it. Raises SiteChanged."""
    return read(Done, body, "Done of ChatGPT", refused=True).status == "success"
