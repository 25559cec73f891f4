"""The windows that limit an account, as Claude tells them (fact sheet sections 5 and 9)."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

from tests.replicas.claude.refusals import error
from tests.replicas.scenario import Scenario

FIVE_HOURS_S, WEEK_S = 5 * 3600, 7 * 86400


def _boundary(window_s: int) -> int:
    """The end of the window that holds now, in Unix seconds."""
    return (int(time.time()) // window_s + 1) * window_s


def used(scenario: Scenario) -> float:
    """The part of the five hours' window that is used, 0 to 1: option ``utilization``."""
    return float(scenario.options.get("utilization", 0.12))


def _window(status: str, resets_at: int | None, utilization: float) -> dict[str, Any]:
    return {"status": status, "resets_at": resets_at, "utilization": utilization}


def message_limit(scenario: Scenario) -> dict[str, Any]:
    """What an answer says at its end; option ``limit`` is its type."""
    status, reset = str(scenario.options.get("limit", "within_limit")), _boundary(FIVE_HOURS_S)
    return {
        "type": status,
        "resetsAt": None if status == "within_limit" else reset,
        "remaining": None,
        "representativeClaim": "five_hour",
        "overageDisabledReason": None,
        "overageInUse": False,
        "windows": {
            "5h": _window(status, reset, used(scenario)),
            "7d": _window("within_limit", _boundary(WEEK_S), 0.03),
        },
    }


def exceeded(resets_at: int | None) -> dict[str, Any]:
    """The same when nothing is left, until ``resets_at`` (Unix seconds) if that is known."""
    return {
        "type": "exceeded_limit",
        "resetsAt": resets_at,
        "remaining": 0,
        "representativeClaim": "five_hour",
        "overageDisabledReason": "org_level_disabled",
        "overageInUse": False,
        "windows": {
            "5h": _window("exceeded_limit", resets_at, 1.0),
            "7d": _window("within_limit", _boundary(WEEK_S), 0.4),
        },
    }


def refusal(resets_at: int | None) -> dict[str, Any]:
    """The body of a 429: JSON inside a string."""
    return error("rate_limit_error", json.dumps(exceeded(resets_at), separators=(",", ":")))


def usage(scenario: Scenario) -> dict[str, Any]:
    """The answer of ``usage``, with the older fields and the newer ``limits``; percentages.

    Times are Unix seconds or, with option ``usage_times="iso"``, text: the sheet does not say which.
    """
    iso = scenario.options.get("usage_times") == "iso"

    def told(moment: int) -> int | str:
        return datetime.fromtimestamp(moment, UTC).isoformat() if iso else moment

    session, week = told(_boundary(FIVE_HOURS_S)), told(_boundary(WEEK_S))
    percent = round(100 * used(scenario), 2)
    scope = {"model": {"display_name": "Opus"}}
    return {
        "five_hour": {"utilization": percent, "resets_at": session},
        "seven_day": {"utilization": 3.0, "resets_at": week},
        "limits": [
            {"kind": "session", "percent": percent, "resets_at": session, "scope": None},
            {"kind": "weekly_all", "percent": 3.0, "resets_at": week, "scope": None},
            {"kind": "weekly_scoped", "percent": 1.0, "resets_at": week, "scope": scope},
        ],
    }
