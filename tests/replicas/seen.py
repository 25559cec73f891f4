"""What a site saw of an account, in words that are the same for all sites, so that one test serves them all."""

from __future__ import annotations

from pydantic import BaseModel, Field


class SeenTurn(BaseModel):
    """A prompt that the site accepted, and how."""

    prompt: str
    parent: str = ""
    """The message that it follows, in the site's ids; empty for the first of a conversation."""
    answer: str = ""
    """The id of the message that answers it: the right parent of the next turn."""
    model: str = ""
    thinking: bool = False
    search: bool = False
    agent: str = ""
    files: list[str] = Field(default_factory=list)
    """SHA-256 of each file that came with it, as hexadecimal digits."""
    again: bool = False
    """Whether it only asked to answer an earlier prompt once more."""
    stopped: bool = False
    """Whether its client broke the answer off, by the site's own stop or by leaving."""


class SeenConversation(BaseModel):
    """A conversation, its accepted prompts in the order in which they came (branches too)."""

    id: str
    turns: list[SeenTurn] = Field(default_factory=list)
    deleted: bool = False
    temporary: bool = False
    """Whether the site keeps it out of its history by itself."""


class SeenFile(BaseModel):
    """A file that the site took."""

    name: str
    sha256: str
    size_bytes: int


class Seen(BaseModel):
    """All that a site saw of one account."""

    conversations: list[SeenConversation] = Field(default_factory=list)
    files: list[SeenFile] = Field(default_factory=list)
