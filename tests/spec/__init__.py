"""`validate(name, value)`: a value against a schema of OpenAI's API description, Open Responses' or Anthropic's."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

OPENAI = "openai-openapi-subset.json"
OPEN_RESPONSES = "open-responses-2026-04-24.json"
ANTHROPIC = "anthropic-messages-responses.schema.json"


def _nullable(node: Any) -> Any:
    """OpenAPI 3.0's `nullable: true` in the words of JSON Schema."""
    if isinstance(node, list):
        return [_nullable(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: _nullable(value) for key, value in node.items()}
    return {"anyOf": [made, {"type": "null"}]} if node.get("nullable") is True else made


@cache
def _components(file: str) -> Any:
    components = _nullable(json.loads((Path(__file__).parent / file).read_text("utf-8"))["components"])
    if file == OPENAI:
        # Unknown until the response has ended; Open Responses wants the key all the same.
        usage = components["schemas"]["Response"]["allOf"][2]["properties"]
        usage["usage"] = {"anyOf": [usage["usage"], {"type": "null"}]}
    return components


@cache
def _validator(name: str, file: str) -> Draft202012Validator:
    if file == ANTHROPIC:
        schema = {
            "$ref": f"#/$defs/{name}",
            "$defs": json.loads((Path(__file__).parent / file).read_text("utf-8"))["$defs"],
        }
    else:
        schema = {"$ref": f"#/components/schemas/{name}", "components": _components(file)}
    return Draft202012Validator(schema, format_checker=FormatChecker())


def validate(name: str, value: Any, file: str = OPENAI) -> None:
    """Raise AssertionError naming every place where `value` is not a `name`."""
    faults = [f"{error.json_path}: {error.message[:300]}" for error in _validator(name, file).iter_errors(value)]
    assert not faults, f"not a valid {name} of {file}: {'; '.join(faults)}"


def validate_response(value: Any) -> None:
    """A response, by both descriptions."""
    validate("Response", value)
    validate("ResponseResource", _without_schema(value), OPEN_RESPONSES)


def validate_event(value: Any) -> None:
    """An event of a response's stream, by both descriptions."""
    validate("ResponseStreamEvent", value)
    if "response" in value:
        value = {**value, "response": _without_schema(value["response"])}
    validate(_event_names()[value["type"]], value, OPEN_RESPONSES)


@cache
def _event_names() -> dict[str, str]:
    """The schema of each type of event."""
    schemas = _components(OPEN_RESPONSES)["schemas"]
    events = {name: schema for name, schema in schemas.items() if name.endswith("StreamingEvent")}
    return {schema["properties"]["type"]["enum"][0]: name for name, schema in events.items()}


def _without_schema(response: Any) -> Any:
    """Open Responses allows a JSON schema in `text.format` to be nothing but null: it cannot be meant."""
    if response["text"]["format"]["type"] != "json_schema":
        return response
    return {**response, "text": {**response["text"], "format": {"type": "text"}}}
