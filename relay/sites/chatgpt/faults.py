"""What ChatGPT's refusals mean (section 9 of the fact sheet)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from relay.browser.answer import status_error
from relay.errors import (
    AccountBanned,
    ChallengeNeeded,
    ContextTooLong,
    RateLimited,
    RelayError,
    SiteChanged,
    SiteError,
)

CAPS = frozenset({"model_cap_exceeded", "work_usage_limit_exceeded"})
BANNED = "account_deactivated"
"""A guess: the sheet knows no mark of a closed account, and this code can hardly mean anything else."""
ASKS_BACK = "ChatGPT asks whether it is a person, or finds the account's activity unusual"


@dataclass(frozen=True, slots=True)
class Fault:
    """An error as the site words it; `clears_in_s` where it tells when it is over."""

    code: str = ""
    message: str = ""
    clears_in_s: float | None = None


def fault_of(said: object) -> Fault:
    """What an error's JSON says: a text, an object, or either below `detail` or `error`."""
    for key in ("detail", "error"):
        if isinstance(said, dict) and said.get(key):
            said = said[key]
    if isinstance(said, dict):
        code, message, seconds = said.get("code"), said.get("message"), said.get("clears_in")
        if not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
            seconds = None
        words = message if isinstance(message, str) else "" if code else json.dumps(said, ensure_ascii=False)
        return Fault(code if isinstance(code, str) else "", words[:300], seconds)
    if not said:
        return Fault()
    return Fault(message=(said if isinstance(said, str) else json.dumps(said, ensure_ascii=False))[:300])


def fault_in(text: str) -> Fault:
    """The error in a body; none where it is no JSON."""
    try:
        return fault_of(json.loads(text))
    except (ValueError, RecursionError):
        return Fault()


def fault_error(fault: Fault, *, refused: bool, retry_after_s: float | None = None) -> RelayError | None:
    """The error of a code or wording that the sheet knows."""
    said = f"{fault.message or fault.code}"
    clears_in_s = fault.clears_in_s if fault.clears_in_s is not None else retry_after_s
    if fault.code in CAPS:
        return RateLimited(f"ChatGPT limits this account: {said}", retry_after_s=clears_in_s, refused=refused)
    if fault.code == BANNED:
        return AccountBanned(f"ChatGPT has closed the account: {said}", refused=refused)
    if fault.code == "conversation_too_large" or "message_length" in fault.code:
        return ContextTooLong(f"The prompt or its conversation is too long for ChatGPT: {said}", refused=refused)
    if "unusual activity" in fault.message.lower():
        return ChallengeNeeded(f"{ASKS_BACK}: {said}", refused=refused)
    if "message in progress" in fault.message.lower():
        return SiteError(f"ChatGPT is still answering in this conversation: {said}", refused=refused)
    return None


def challenged(status: int, headers: Mapping[str, str], text: str) -> bool:
    """Whether a challenge stands in the place of an answer: HTML with 403, or the site's own suspicion."""
    html = headers.get("content-type", "").lower().startswith("text/html")
    return status == 403 and (html or "unusual activity" in text.lower())


def refusal(status: int, headers: Mapping[str, str], text: str, *, sends_prompt: bool) -> RelayError:
    """The error of an HTTP status of 400 and above.

    With `sends_prompt` a 4xx means that the prompt was not taken, and 403 that the page's signature was refused: that
    is no logout, which is 401.
    """
    fault = fault_in(text)
    known = status_error(status, headers, text, sends_prompt=sends_prompt)
    refused = sends_prompt and status < 500
    told = fault_error(fault, refused=refused, retry_after_s=known.retry_after_s)
    if told is not None:
        return told
    if challenged(status, headers, text) or (status == 403 and sends_prompt):
        return ChallengeNeeded(f"{ASKS_BACK} (HTTP 403).", refused=refused)
    if status == 422:
        return SiteChanged("a request that ChatGPT takes", f"HTTP 422: {fault.message}", refused=refused)
    if status == 429 and fault.clears_in_s is not None:
        known.retry_after_s = fault.clears_in_s
    return known


def stream_error(said: object) -> RelayError:
    """The error that a stream reports: the prompt was taken, so it is never sent again."""
    fault = fault_of(said)
    reported = f"ChatGPT reports an error: {fault.message or fault.code or 'it does not say which'}"
    return fault_error(fault, refused=False) or SiteError(reported)
