"""The plans and models that Claude offers (fact sheet sections 2 and 3)."""

from __future__ import annotations

from typing import Any

from tests.replicas.claude.refusals import unavailable
from tests.replicas.scenario import Scenario

DEFAULT = "claude-sonnet-5-5"
PLANS = {"free": [], "pro": ["claude_pro"], "max": ["claude_max"], "team": ["raven"]}


def _model(model: str, name: str, *, inactive: bool = False) -> dict[str, Any]:
    return {
        "model": model,
        "name": name,
        "inactive": inactive,
        "overflow": False,
        "thinking_modes": ["off", "auto", "extended"],
        "paprika_modes": ["extended"],
        "capabilities": {"mm_images": True, "mm_pdf": True, "web_search": True},
    }


MODELS = [
    _model(DEFAULT, "Claude Sonnet 5.5"),
    _model("claude-opus-5-5", "Claude Opus 5.5"),
    _model("claude-fable-5-1", "Claude Fable 5.1"),
    _model("claude-sonnet-5", "Claude Sonnet 5"),
    _model("claude-sonnet-4-6", "Claude Sonnet 4.6"),
    _model("claude-opus-4-6", "Claude Opus 4.6"),
    _model("claude-sonnet-4-5-20250929", "Claude Sonnet 4.5"),
    _model("claude-haiku-4-5-20251001", "Claude Haiku 4.5"),
    _model("claude-2.1", "Claude 2.1", inactive=True),
]


def plan(scenario: Scenario) -> str:
    """The account's plan: option ``plan``, else ``pro``."""
    return str(scenario.options.get("plan", "pro"))


def capabilities(scenario: Scenario) -> list[str]:
    """Of the organization that chats."""
    return ["chat", *PLANS[plan(scenario)]]


def models(scenario: Scenario) -> list[dict[str, Any]]:
    """The list as the bootstrap tells it; a free plan has no Opus."""
    return [model for model in MODELS if plan(scenario) != "free" or "opus" not in model["model"]]


def checked(name: str | None, scenario: Scenario) -> str:
    """The model that will answer. Raises Refused (403) for one that this account cannot have."""
    if name is None:
        return DEFAULT
    if any(model["model"] == name and not model["inactive"] for model in models(scenario)):
        return name
    raise unavailable(name)
