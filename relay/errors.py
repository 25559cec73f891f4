"""Everything that can go wrong, as one tree.

    RelayError
    ├── BadRequest            400 invalid_request_error
    │   ├── ContextTooLong    400 context_length_exceeded
    │   ├── ContentRefused    400 content_filter
    │   └── PreviousResponseNotFound
    │                         400 previous_response_not_found
    ├── Unauthorized          401 invalid_api_key
    │   ├── NotLoggedIn       401 not_logged_in
    │   └── WrongPassword     401 wrong_password
    ├── Forbidden             403 (foreign Origin or Host)
    │   └── SiteNotAllowed    403 site_not_allowed
    ├── UnknownModel          404 model_not_found
    ├── ConversationNotFound  404 conversation_not_found
    ├── FileNotFound          404 file_not_found
    ├── ResponseNotFound      404 response_not_found
    ├── AccountNotFound       404 account_not_found
    ├── LoginGone             404 login_gone
    ├── IdempotencyKeyReused  409 idempotency_key_reused
    ├── TooLarge              413 request_too_large
    ├── RateLimited           429 rate_limit_exceeded
    │   └── QueueFull         429 queue_full
    ├── NoAccount             503 no_account_available
    │   ├── LoginNeeded       503 login_needed
    │   ├── ChallengeNeeded   503 challenge_needed
    │   └── AccountBanned     503 account_banned
    ├── SiteClosed            503 site_closed
    ├── SiteUnavailable       502 site_unavailable
    │   ├── SiteError         502 site_error (the site itself reported a failure)
    │   └── CutAnswer         502 answer_cut
    │       └── PageLeft      502 answer_cut (the page navigated away, to its login perhaps)
    ├── ToolCallFailed        502 tool_call_failed
    ├── SiteChanged           502 site_changed
    │   └── BadFrame          502 site_changed (bytes that are not the framing they should be)
    ├── BrowserFault          502 browser_fault
    └── ClockRanOut           504
        ├── FirstByteTimeout  504 first_byte_timeout
        ├── IdleTimeout       504 idle_timeout
        └── TotalTimeout      504 total_timeout

`refused=True` means: the site provably did not accept the prompt, so another driver or another
account may be tried. It is never set after the first event of an answer, nor for a time-out.
"""

from __future__ import annotations

from typing import ClassVar


class RelayError(Exception):
    """Base of the tree. `message` is one or two sentences: what happened, what a person can do."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False
    """Whether the same request may succeed if merely sent again (else `x-should-retry: false`)."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after_s: float | None = None,
        refused: bool = False,
        quotes: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        self.refused = refused
        self.quotes = quotes
        """Whether the message repeats what the site's model wrote: then it is told, but not logged."""


class BadRequest(RelayError):
    """The request is malformed or asks for something that cannot be done."""

    status, type, code = 400, "invalid_request_error", "invalid_request"


class ContextTooLong(BadRequest):
    """The prompt exceeds what the site takes; nothing was sent."""

    code = "context_length_exceeded"


class ContentRefused(BadRequest):
    """The site refused the content before answering anything."""

    code = "content_filter"


class PreviousResponseNotFound(BadRequest):
    """The answer to build on, or one before it, is not kept."""

    code = "previous_response_not_found"


class Unauthorized(RelayError):
    """No valid key."""

    status, type, code = 401, "invalid_request_error", "invalid_api_key"


class NotLoggedIn(Unauthorized):
    """The admin API without a valid session or static key."""

    code = "not_logged_in"


class WrongPassword(Unauthorized):
    """The password of the admin page was wrong."""

    code = "wrong_password"


class Forbidden(RelayError):
    """A foreign Origin, or a Host that is not ours."""

    status, type, code = 403, "invalid_request_error", "forbidden"


class SiteNotAllowed(Forbidden):
    """The API key is not for this site."""

    code = "site_not_allowed"


class UnknownModel(RelayError):
    """No site offers the model."""

    status, type, code = 404, "invalid_request_error", "model_not_found"


class ConversationNotFound(RelayError):
    """An explicit conversation that is gone."""

    status, type, code = 404, "invalid_request_error", "conversation_not_found"


class FileNotFound(RelayError):
    """The caller has no stored file of that id."""

    status, type, code = 404, "invalid_request_error", "file_not_found"


class ResponseNotFound(RelayError):
    """There is no kept answer of that id."""

    status, type, code = 404, "invalid_request_error", "response_not_found"


class AccountNotFound(RelayError):
    """There is no account of that name."""

    status, type, code = 404, "invalid_request_error", "account_not_found"


class LoginGone(RelayError):
    """A remote login's address that is used up, expired, or never was one."""

    status, type, code = 404, "invalid_request_error", "login_gone"


class IdempotencyKeyReused(RelayError):
    """The `Idempotency-Key` stands for another request."""

    status, type, code = 409, "invalid_request_error", "idempotency_key_reused"


class TooLarge(RelayError):
    """The request body or a file is too big."""

    status, type, code = 413, "invalid_request_error", "request_too_large"


class RateLimited(RelayError):
    """The site limits this account, or the owner the API key; `retry_after_s` where that is known."""

    status, type, code = 429, "rate_limit_error", "rate_limit_exceeded"
    retryable = True


class QueueFull(RateLimited):
    """The relay's own queue is full."""

    code = "queue_full"


class NoAccount(RelayError):
    """No account of the site may take a chat."""

    status, code = 503, "no_account_available"


class LoginNeeded(NoAccount):
    """The account's login is dead (expired, or downgraded to a guest)."""

    code = "login_needed"
    renewable = True
    """Whether the site's page may be able to renew the login by itself; not where the site knows it and forbids."""


class ChallengeNeeded(NoAccount):
    """The site shows a challenge that only the owner may solve."""

    code = "challenge_needed"


class AccountBanned(NoAccount):
    """The site has closed or muted the account: its owner must settle that with the site."""

    code = "account_banned"


class SiteClosed(RelayError):
    """The site has shut down for good."""

    status, code = 503, "site_closed"


class SiteUnavailable(RelayError):
    """The site cannot be reached, or answers 5xx."""

    status, code = 502, "site_unavailable"
    retryable = True


class SiteError(SiteUnavailable):
    """The site reported a failure of its own, in the answer or around it."""

    code = "site_error"


class CutAnswer(SiteUnavailable):
    """The answer ended without its end mark."""

    code = "answer_cut"


class PageLeft(CutAnswer):
    """The page navigated away, of itself, under a call or an answer. It lives, and shows something else."""


class ToolCallFailed(RelayError):
    """The site's model did not answer in the form that was required, not even when it was asked again."""

    status, type, code = 502, "server_error", "tool_call_failed"


class SiteChanged(RelayError):
    """The site answered in a form that the adapter does not know."""

    status, code = 502, "site_changed"

    def __init__(self, expected: str, found: str, *, refused: bool = False) -> None:
        super().__init__(
            f"The site has changed: expected {expected}, found {found[:300]}. "
            "Run `relay doctor` for that site; an update of relay or a selector overlay may be needed.",
            refused=refused,
        )
        self.expected = expected
        self.found = found[:300]


class BadFrame(SiteChanged):
    """Bytes that break the framing they should be in."""


class BrowserFault(RelayError):
    """A renderer, the browser or its driver died or hung under the chat."""

    status, code = 502, "browser_fault"
    retryable = True


class ClockRanOut(RelayError):
    """One of the three clocks of an answer."""

    status, code = 504, "total_timeout"


class FirstByteTimeout(ClockRanOut):
    """The site accepted the prompt (or may have) and sent nothing."""

    code = "first_byte_timeout"


class IdleTimeout(ClockRanOut):
    """The answer stalled."""

    code = "idle_timeout"


class TotalTimeout(ClockRanOut):
    """The answer took longer than the total clock allows."""

    code = "total_timeout"
