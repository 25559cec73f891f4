"""The `response` object: what it repeats of its request, and how it stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relay.api.openai.response_schema import ResponseBody
from relay.chat.tools import AnswerForm, ToolUse
from relay.chat.usage import Usage
from relay.errors import BadRequest, RateLimited, RelayError

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
SUMMARIES = ("auto", "concise", "detailed")
VERBOSITIES = ("low", "medium", "high")


def echo(
    body: ResponseBody, use: ToolUse | None, form: AnswerForm | None, *, name: str, created: int, store: bool
) -> dict[str, Any]:
    """What all states of a response have in common. `name` is its id, `created` Unix seconds."""
    common: dict[str, Any] = {
        "id": name,
        "object": "response",
        "created_at": created,
        "model": body.model,
        "background": False,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": None,
        "metadata": body.metadata or {},
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": body.previous_response_id or None,
        "prompt_cache_key": body.prompt_cache_key,
        "reasoning": _reasoning(body),
        "safety_identifier": body.safety_identifier,
        "service_tier": "default",
        "store": store,
        "text": _text(body, form),
        "tool_choice": _choice(body.tool_choice, use),
        "tools": _tools(body, use),
        "truncation": "disabled",
        # A site's own, whatever was asked for.
        "temperature": 1,
        "top_p": 1,
        "top_logprobs": 0,
        "frequency_penalty": 0,
        "presence_penalty": 0,
    }
    if body.user is not None:
        common["user"] = body.user
    if body.named and body.named != "none":
        common["conversation"] = {"id": body.named}
    return common


def _reasoning(body: ResponseBody) -> dict[str, Any]:
    asked = body.reasoning
    effort = body.reasoning_effort or (asked.effort if asked else None)
    summary = asked.summary if asked else None
    return {
        "effort": effort if effort in EFFORTS else None,
        "summary": summary if summary in SUMMARIES else None,
    }


def _text(body: ResponseBody, form: AnswerForm | None) -> dict[str, Any]:
    verbosity = body.text.verbosity if body.text else None
    extra = {"verbosity": verbosity} if verbosity in VERBOSITIES else {}
    if form is None:
        return {"format": {"type": "text"}, **extra}
    if form.schema is None:
        return {"format": {"type": "json_object"}, **extra}
    asked = body.text.format if body.text else {}
    made = {"type": "json_schema", "name": form.name or "answer", "schema": form.schema}
    if isinstance(asked.get("description"), str):
        made["description"] = asked["description"]
    return {"format": {**made, "strict": asked.get("strict") is True}, **extra}


def _tools(body: ResponseBody, use: ToolUse | None) -> list[dict[str, Any]]:
    """The functions; what was left out is not there."""
    strict = {
        str(one.get("name")) for one in body.tools or () if isinstance(one, Mapping) and one.get("strict") is True
    }
    return [
        {
            "type": "function",
            "name": tool.name,
            "description": tool.description or None,
            "parameters": dict(tool.parameters) or None,
            "strict": tool.name in strict,
        }
        for tool in (use.tools if use is not None else ())
    ]


def _choice(asked: Any, use: ToolUse | None) -> Any:
    if use is None or not use.tools:
        return "none" if asked == "none" else "auto"
    if not use.names or use.choice == "none":
        return use.choice
    named = [{"type": "function", "name": name} for name in use.names]
    if isinstance(asked, Mapping) and asked.get("type") == "allowed_tools":
        return {"type": "allowed_tools", "mode": use.choice, "tools": named}
    return named[0]


def begun(common: Mapping[str, Any]) -> dict[str, Any]:
    """A response to which nothing has come yet. Its usage is unknown, not zero."""
    unknown = {"completed_at": None, "error": None, "incomplete_details": None, "usage": None}
    return {**common, "status": "in_progress", "output": [], **unknown}


def status_of(finish: str) -> tuple[str, dict[str, str] | None]:
    """`status` and `incomplete_details` of an answer with that finish reason."""
    match finish:
        case "length":
            return "incomplete", {"reason": "max_output_tokens"}
        case "content_filter":
            return "incomplete", {"reason": "content_filter"}
        case _:
            return "completed", None


def usage_of(usage: Usage) -> dict[str, Any]:
    """Its `usage`; an estimate."""
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
    }


def error_of(error: RelayError) -> dict[str, Any]:
    """Its `error`. OpenAI's `code` is one of a list, so the relay's own stands beside it."""
    match error:
        case RateLimited():
            code = "rate_limit_exceeded"
        case BadRequest():
            code = "invalid_prompt"
        case _:
            code = "server_error"
    return {"code": code, "message": error.message, "relay_code": error.code}
