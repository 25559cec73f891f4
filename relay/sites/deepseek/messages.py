"""What DeepSeek sends, validated (sections 2, 4, 7 and 9 of the fact sheet)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import Field

from relay.browser.answer import status_error
from relay.browser.tab import Response
from relay.errors import (
    ChallengeNeeded,
    ContextTooLong,
    LoginNeeded,
    RateLimited,
    RelayError,
    SiteChanged,
    SiteError,
    SiteUnavailable,
)
from relay.sites.answered import Answered, checked, read

STILL_WRITING_S = 5.0
"""After how long a chat may be tried again that met another answer in the making."""
MAX_DIFFICULTY = 5_000_000
"""Over thirty times what the site asks: a page that must search for longer is stopped before it begins."""


class StillWriting(RateLimited):
    """Another answer is in the making."""


class Payload(Answered):
    """`data` of every JSON answer."""

    biz_code: int = 0
    biz_msg: str | None = None
    biz_data: Any = None


class Envelope(Answered):
    """Every JSON answer. Success is HTTP 200 and both codes 0."""

    code: int
    msg: str | None = None
    data: Payload | None = None

    def error(self, *, refused: bool) -> RelayError | None:
        """What it reports; None for a success."""
        if self.code:
            return site_error(self.code, self.msg or "", refused=refused)
        if self.data is not None and self.data.biz_code:
            return site_error(self.data.biz_code, self.data.biz_msg or "", refused=refused)
        return None


class CurrentUser(Answered):
    """`users/current`."""

    token: str = Field(min_length=1)
    email: str | None = None
    """One of the facts about the account, where it is among them."""


class Session(Answered):
    """`chat_session` of a new session."""

    id: str = Field(min_length=1)


class CreatedSession(Answered):
    """`chat_session/create`; before 2026 the id stood by itself."""

    chat_session: Session | None = None
    id: str = ""

    @property
    def session(self) -> str:
        """The session's id. Raises SiteChanged where there is none."""
        if self.chat_session is None and not self.id:
            raise SiteChanged("the id of a new session of DeepSeek", "none", refused=True)
        return self.chat_session.id if self.chat_session is not None else self.id


class Challenge(Answered):
    """A proof of work that is asked for."""

    algorithm: str = Field(pattern="^DeepSeekHashV1$")
    challenge: str = Field(pattern="^[0-9a-fA-F]{64}$")
    salt: str = Field(max_length=1000)
    signature: str
    difficulty: int = Field(gt=0, le=MAX_DIFFICULTY)
    expire_at: int
    """Unix milliseconds, by the site's clock."""
    expire_after: float = Field(0, ge=0)
    """Milliseconds from when it was made."""
    target_path: str


class CreatedChallenge(Answered):
    """`create_pow_challenge`."""

    challenge: Challenge


class File(Answered):
    """A file that was uploaded."""

    id: str = Field(min_length=1)
    status: str
    error_code: Annotated[str, Field(coerce_numbers_to_str=True)] | None = None
    audit_result: str | None = None

    @property
    def rejected(self) -> bool:
        """Whether the site's examination of it ended badly."""
        return (self.audit_result or "").upper().startswith("REJECT")


class Files(Answered):
    """`fetch_files`."""

    files: list[File] = Field(min_length=1)


class Anything(Answered):
    """An answer of which only its success counts."""


def site_error(code: int, message: str, *, refused: bool) -> RelayError:
    """The error of a non-zero code, or of the words that the page would show (section 9)."""
    said = message or f"code {code}"
    if code in (40001, 40002, 40003):
        return LoginNeeded(f"DeepSeek refuses the login: {said}", refused=refused)
    if "消息发送过于频繁" in message:
        return RateLimited(f"DeepSeek limits this account: {said}", refused=refused)
    if "有消息正在生成" in message:
        return StillWriting(
            f"DeepSeek is still writing another answer: {said}", retry_after_s=STILL_WRITING_S, refused=refused
        )
    if "服务器繁忙" in message:
        return SiteUnavailable(f"DeepSeek is overloaded: {said}", refused=refused)
    if "对话长度上限" in message:
        return ContextTooLong(f"DeepSeek's conversation is full, begin a new one: {said}")
    if "内容超长" in message:
        return ContextTooLong(f"The prompt is too long for DeepSeek: {said}", refused=refused)
    return SiteError(f"DeepSeek reports an error ({code}): {said}", refused=refused)


def refuse_page(status: int, headers: Mapping[str, str]) -> None:
    """Raise ChallengeNeeded for the firewall's page in the place of an answer (section 9, WAF)."""
    page = headers.get("content-type", "").lower().startswith("text/html") and (status < 400 or status in (403, 405))
    if headers.get("x-amzn-waf-action") or page:
        raise ChallengeNeeded(
            "DeepSeek's firewall answers in the place of the site: its owner must open the page and pass its check.",
            refused=True,
        )


def envelope(body: bytes | str) -> Envelope:
    """A JSON answer. Raises SiteChanged for what is none of the site's."""
    return read(Envelope, body, "a JSON answer of DeepSeek")


A = TypeVar("A", bound=Answered)


def parsed(model: type[A], response: Response, *, sends_prompt: bool = False) -> A:
    """`biz_data` of a JSON answer, validated; `sends_prompt`: on the way to a chat, so a failure refuses the prompt.

    Raises the error of its status or codes, ChallengeNeeded, SiteChanged.
    """
    refuse_page(response.status, response.headers)
    if response.status >= 400:
        raise status_error(response.status, response.headers, response.text, sends_prompt=sends_prompt)
    said = envelope(response.body)
    if (error := said.error(refused=sends_prompt)) is not None:
        raise error
    data = said.data.biz_data if said.data is not None else None
    due = f"{model.__name__} of DeepSeek"
    return checked(model, {} if data is None else data, due, refused=sends_prompt)
