"""The models Kimi offers (fact sheet section 3, column 2026-09), and which request fits which."""

from __future__ import annotations

import re
from typing import Any

from tests.replicas.kimi.requests import ChatRequest


def _efforts(*names: tuple[str, str]) -> list[dict[str, str]]:
    return [{"effort": f"REASONING_EFFORT_{effort}", "displayName": name} for effort, name in names]


def _agent(scenario: str, model: str, name: str, mode: str, *efforts: tuple[str, str]) -> dict[str, Any]:
    return {
        "scenario": scenario,
        "displayName": name,
        "id": model,
        "key": model,
        "thinking": True,
        "kimiPlusId": "ok-computer",
        "agentMode": mode,
        "reasoningEffortOptions": _efforts(*efforts),
        "defaultReasoningEffort": f"REASONING_EFFORT_{efforts[0][0]}" if efforts else "REASONING_EFFORT_NONE",
        "contextLengthOptions": ["CONTEXT_LENGTH_L", "CONTEXT_LENGTH_XL"],
        "switchableTo": [],
    }


_LEVELS = (("LOW", "Low"), ("HIGH", "High"), ("MAX", "Max"))
MODELS: list[dict[str, Any]] = [
    {
        "scenario": "SCENARIO_CHAT",
        "displayName": "K2.6",
        "id": "k2d6-chat",
        "key": "k2d6-chat",
        "reasoningEffortOptions": _efforts(("NONE", "Instant"), ("LOW", "High")),
        "defaultReasoningEffort": "REASONING_EFFORT_NONE",
        "contextLengthOptions": ["CONTEXT_LENGTH_L"],
        "switchableTo": ["k3-agent"],
    },
    _agent("SCENARIO_OK_COMPUTER", "k28-agent-preview", "K2.8 Preview", "TYPE_NORMAL"),
    _agent("SCENARIO_OK_COMPUTER", "k3-agent", "K3", "TYPE_NORMAL", *_LEVELS),
    _agent("SCENARIO_OK_COMPUTER_SWARM", "k3-agent-swarm", "K3 Swarm", "TYPE_ULTRA") | {"minMembershipLevel": 20},
]
AVAILABLE = {"availableModels": MODELS, "defaultScenario": {"scenario": "SCENARIO_CHAT", "model": "k2d6-chat"}}


def misfit(request: ChatRequest, level: int) -> tuple[str, str] | None:
    """Why a user of membership ``level`` may not ask so: a Connect code and a message, or None."""
    if request.message.scenario != request.scenario:
        return "invalid_argument", "message.scenario differs from scenario"
    fitting = [model for model in MODELS if model["scenario"] == request.scenario]
    if not fitting:
        return "invalid_argument", f"unknown scenario {request.scenario}"
    named = request.options.model
    model = next((model for model in fitting if named in (None, model["id"])), None)
    if model is None:
        return "invalid_argument", f"unknown model {named} in {request.scenario}"
    # Agents that people made (section 10) have ids of the old site's shape; in which scenario the new one runs them is
    # not known, so the plain one may.
    agent = request.scenario == "SCENARIO_CHAT" and re.fullmatch("[0-9a-z]{20}", request.kimiplus_id or "")
    fits = (request.kimiplus_id, request.agent_mode) == (model.get("kimiPlusId"), model.get("agentMode"))
    if not fits and not agent:
        return "invalid_argument", f"kimiplusId or agentMode does not fit {model['id']}"
    efforts = {"REASONING_EFFORT_NONE", *(option["effort"] for option in model["reasoningEffortOptions"])}
    if request.options.reasoning_effort not in {None, *efforts}:
        return "invalid_argument", f"unknown reasoning_effort {request.options.reasoning_effort}"
    if request.options.context_length not in {None, *model["contextLengthOptions"]}:
        return "invalid_argument", f"unknown context_length {request.options.context_length}"
    if level < model.get("minMembershipLevel", 0):
        return "permission_denied", f"{model['displayName']} needs a higher membership"
    return None
