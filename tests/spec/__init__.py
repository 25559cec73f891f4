"""`validate(name, value)`: a value against a schema of OpenAI's API description."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

_FILE = Path(__file__).parent / "openai-openapi-subset.json"


def _nullable(node: Any) -> Any:
    """OpenAPI 3.0's `nullable: true` in the words of JSON Schema."""
    if isinstance(node, list):
        return [_nullable(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: _nullable(value) for key, value in node.items()}
    return {"anyOf": [made, {"type": "null"}]} if node.get("nullable") is True else made


@cache
def _components() -> Any:
    return _nullable(json.loads(_FILE.read_text("utf-8"))["components"])


@cache
def _validator(name: str) -> Draft202012Validator:
    schema = {"$ref": f"#/components/schemas/{name}", "components": _components()}
    return Draft202012Validator(schema, format_checker=FormatChecker())


def validate(name: str, value: Any) -> None:
    """Raise AssertionError naming every place where `value` is not a `name`."""
    faults = [f"{error.json_path}: {error.message[:300]}" for error in _validator(name).iter_errors(value)]
    assert not faults, f"not a valid {name}: {'; '.join(faults)}"
