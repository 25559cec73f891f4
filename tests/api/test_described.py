"""The API's own description, taken at its word by a fuzzer: no request may end in a failure of ours."""

from __future__ import annotations

from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import response_schema_conformance

from tests.api.conftest import Served

EXAMPLES = 30


def test_any_request() -> None:
    """Of every route but the admin page's; the scripted models fail on purpose, but never with HTTP 500."""
    served = Served(max_body_mib=1)
    tried: set[str] = set()
    try:
        described = httpx.get(f"{served.url}/openapi.json", trust_env=False).json()
        schema = schemathesis.openapi.from_dict(described)
        schema.config.update(base_url=served.url)
        for found in schema.exclude(path_regex="^/(admin|login)").get_all_operations():
            assert isinstance(found, Ok)
            operation = found.ok()

            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy())
            def ask(case: schemathesis.Case[Any]) -> None:
                answer = case.call(timeout=20)
                assert answer.status_code != 500, answer.text
                tried.add(f"{case.method} {case.path}")
                if answer.status_code >= 400 and case.path.startswith("/v1"):
                    assert set(answer.json()["error"]) >= {"message", "type"}
                case.validate_response(answer, checks=[response_schema_conformance])

            ask()
    finally:
        served.stop()
    assert "POST /v1/chat/completions" in tried
    assert len(tried) >= 9
