"""What Claude says instead of an answer (section 9 of the fact sheet)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import ValidationError

from relay.browser.answer import status_error
from relay.errors import (
    AccountBanned,
    ChallengeNeeded,
    ConversationNotFound,
    LoginNeeded,
    RelayError,
    SiteError,
    TooLarge,
    UnknownModel,
)
from relay.sites.answered import Answered
from relay.sites.claude.limits import limit_error


class Fault(Answered):
    """What went wrong, by the site's own word."""

    type: str = ""
    message: str = ""


class Refusal(Answered):
    """An error in place of an answer, and the `error` event inside one."""

    error: Fault


def site_error(
    status: int, headers: Mapping[str, str], body: str, *, refused: bool, continues: bool = False
) -> RelayError | None:
    """The error of an answer's head and body, or None where they are none.

    `refused`: the call carried a prompt, which the site then did not take. `continues`: it named an earlier
    conversation.
    """
    if _is_challenge(status, headers, body):
        return ChallengeNeeded("Claude shows a challenge (Cloudflare) that only its owner may solve.", refused=refused)
    if status < 400:
        return None
    try:
        fault = Refusal.model_validate_json(body).error
    except ValidationError:
        fault = Fault(message=body[:200])
    said = fault.message
    if status == 429:
        return limit_error(said, headers, refused=refused)
    if status == 400 and "organization has been disabled" in said:
        return AccountBanned(f"Claude has closed the account: {said}", refused=refused)
    if status == 403 and "Invalid authorization" in said:
        return LoginNeeded(f"Claude refuses the login: {said}", refused=refused)
    if status == 403 and re.search("not[ _]available", f"{fault.type} {said}"):
        return UnknownModel(f"The account's plan at Claude lacks the model: {said}", param="model", refused=refused)
    if status == 413:
        return TooLarge(f"Claude takes no files or prompts of this size: {said or 'it says no more'}", refused=refused)
    if continues and (status == 404 or (status == 400 and fault.type == "invalid_request_error")):
        return ConversationNotFound(f"Claude cannot go on with the conversation: {said}", refused=refused)
    return status_error(status, headers, body, sends_prompt=refused)


def _is_challenge(status: int, headers: Mapping[str, str], body: str) -> bool:
    """Cloudflare in place of the site: a redirect (0, where a script may not see it), or a page where JSON was due."""
    if "challenge" in headers.get("cf-mitigated", "") or status == 0 or 300 <= status < 400:
        return True
    page = headers.get("content-type", "").lower().startswith("text/html") or body.lstrip().startswith("<")
    return page and (status < 500 or "Just a moment" in body)


def stream_error(fault: Fault, *, refused: bool) -> RelayError:
    """The error of an `error` event inside an answer."""
    match fault.type:
        case "rate_limit_error":
            return limit_error(fault.message, {}, refused=refused)
        case "overloaded_error":
            return SiteError(f"Claude is overloaded ({fault.message or 'it says no more'}). Send the request again.")
        case "authentication_error" | "permission_error":
            return LoginNeeded(f"Claude refuses the login: {fault.message}", refused=refused)
        case _:
            return SiteError(f"Claude reports an error ({fault.type or 'no type'}): {fault.message}")
