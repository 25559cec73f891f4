"""The models (fact sheet section 3). A scenario may offer others: clients take the list from the endpoint."""

from __future__ import annotations

from typing import Any

from tests.replicas.chatgpt.requests import ChatRequest

TITLES = {
    "auto": "Auto",
    "gpt-5-6-thinking": "GPT-5.6 Thinking",
    "gpt-5-3": "GPT-5.3",
    "gpt-5-2": "GPT-5.2",
    "o4-mini": "o4-mini",
}
OLD_THINKERS = ("o1", "o3-mini", "o3-mini-high", "o4-mini", "o4-mini-high")


def thinks(slug: str) -> bool:
    """Whether a model reasons before it answers."""
    return slug.endswith("-thinking") or slug in OLD_THINKERS


def slugs(option: object) -> list[str]:
    """The models on offer; ``option`` is the scenario's ``models``, separated by commas."""
    return str(option).split(",") if option else list(TITLES)


def listed(option: object) -> dict[str, Any]:
    """The body of ``GET /backend-api/models``."""
    offered = slugs(option)
    models = [
        {"slug": slug, "title": TITLES.get(slug, slug), "max_tokens": 196_000, "capabilities": {}} for slug in offered
    ]
    categories = [{"category": "thinking" if thinks(slug) else "fast", "default_model": slug} for slug in offered]
    return {"models": models, "categories": categories}


def wants_thoughts(request: ChatRequest, auto_thinks: object) -> bool:
    """Whether this answer comes with reasoning."""
    asked = thinks(request.model) or "reason" in request.hints
    return asked or (request.model == "auto" and bool(auto_thinks))


def routed(request: ChatRequest, thinking: bool) -> str:
    """The model that really answers."""
    if request.model != "auto":
        return request.model
    return "gpt-5-6-thinking" if thinking else "gpt-5-3"
