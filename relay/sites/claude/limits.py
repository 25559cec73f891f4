"""Claude's limits: windows that fill up and open again (sections 5 and 9 of the fact sheet)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from relay.chat.events import Quota
from relay.errors import RateLimited
from relay.sites.answered import Answered

LONGEST_S = 31 * 86_400.0
WINDOWS = {"five_hour": "5h", "session": "5h", "seven_day": "7d", "weekly_all": "7d", "weekly_scoped": "7d"}
"""One name for what the site calls now this and now that: the one of its streams."""


def _unix(value: Any) -> Any:
    """An ISO date as Unix seconds; anything else as it is."""
    if not isinstance(value, str):
        return value
    at = datetime.fromisoformat(value)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


Number = Annotated[float, Field(allow_inf_nan=False)]
When = Annotated[Number, BeforeValidator(_unix)]
"""Unix seconds."""


class Window(Answered):
    """How far a limit is used up, and when it opens again."""

    utilization: Number | None = None
    resets_at: When | None = None


class MessageLimit(Answered):
    """`message_limit` of a stream, and what a 429 holds as a string."""

    model_config = ConfigDict(alias_generator=to_camel)

    type: str = ""
    resets_at: When | None = None
    representative_claim: str | None = None
    overage_in_use: bool | None = None
    windows: dict[str, Window] | None = None

    @property
    def exceeded(self) -> bool:
        """Whether it keeps the site from answering."""
        return self.type == "exceeded_limit" and not self.overage_in_use

    @property
    def opens_at(self) -> float | None:
        """When it does not any more (Unix seconds), where that is told."""
        full = [w.resets_at for w in (self.windows or {}).values() if (w.utilization or 0) >= 1 and w.resets_at]
        return self.resets_at if self.resets_at is not None else max(full, default=None)

    def quotas(self) -> Iterator[Quota]:
        """Each window; where none is told, the one that counts."""
        for name, window in (self.windows or {}).items():
            yield Quota(name, window.utilization, window.resets_at)
        if not self.windows and self.representative_claim and (self.exceeded or self.resets_at is not None):
            yield Quota(_name(self.representative_claim), 1.0 if self.exceeded else None, self.resets_at)


class UsageLimit(Answered):
    """One of `limits` of a usage answer."""

    kind: str
    percent: Number | None = None
    resets_at: When | None = None
    scope: Any = None


class Usage(Answered):
    """`GET …/usage`: `limits`; in older answers a window by each key."""

    model_config = ConfigDict(extra="allow")

    limits: list[UsageLimit] | None = None

    def quotas(self) -> Iterator[Quota]:
        """All windows. Raises ValidationError for older ones that are none."""
        for limit in self.limits or ():
            used = None if limit.percent is None else limit.percent / 100
            yield Quota(f"{_name(limit.kind)}{_model_of(limit.scope)}", used, limit.resets_at)
        if self.limits:
            return
        told = {name: value for name, value in (self.model_extra or {}).items() if isinstance(value, dict)}
        windows = {name: Window.model_validate(value) for name, value in told.items() if "utilization" in value}
        # The sheet does not tell whether the older ones are parts of the whole or percent.
        whole = 100 if any((window.utilization or 0) > 1 for window in windows.values()) else 1
        for name, window in windows.items():
            if window.utilization is not None:
                yield Quota(_name(name), window.utilization / whole, window.resets_at)


def _name(window: str) -> str:
    return WINDOWS.get(window, window.replace("seven_day_", "7d "))


def _model_of(scope: Any) -> str:
    match scope:
        case {"model": {"display_name": str(name)}}:
            return f" {name}"
    return ""


def limit_error(message: str, headers: Mapping[str, str], *, refused: bool) -> RateLimited:
    """The error of a 429 or of its like in a stream. `message` is JSON in a string, or plain words."""
    try:
        return exceeded(MessageLimit.model_validate_json(message), headers, refused=refused)
    except ValidationError:
        return exceeded(MessageLimit(), headers, said=message, refused=refused)


def exceeded(
    limit: MessageLimit, headers: Mapping[str, str] | None = None, *, said: str = "", refused: bool
) -> RateLimited:
    """The error of a limit that is used up, until when it says, else until when the answer's headers say."""
    opens_at = limit.opens_at if limit.opens_at is not None else _reset_of(headers or {})
    after_s = min(max(1.0, opens_at - time.time()), LONGEST_S) if opens_at is not None else None
    which = f" ({_name(limit.representative_claim)})" if limit.representative_claim else ""
    until = f" until {datetime.fromtimestamp(time.time() + after_s, UTC):%d %b %H:%M} UTC" if after_s else ""
    words = " ".join(said.split())[:200]
    told = f"Claude's limit of this account is used up{which}{until}{f': {words}' if words else '.'}"
    return RateLimited(told, retry_after_s=after_s, refused=refused)


def _reset_of(headers: Mapping[str, str]) -> float | None:
    """Unix seconds, by the site's own header, else by the usual one."""
    reset, after = headers.get("anthropic-ratelimit-unified-reset", ""), headers.get("retry-after", "")
    if reset.isascii() and reset.isdigit() and len(reset) < 13:
        return float(reset)
    return time.time() + float(after) if after.isascii() and after.isdigit() and len(after) < 9 else None
