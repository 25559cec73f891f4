"""`/metrics`."""

from __future__ import annotations

from collections.abc import Callable

import httpx
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.parser import text_string_to_metric_families

from relay.pool.measures import FAMILIES, Timeline
from tests.api.conftest import Served
from tests.api.raw import error_of


def test_prometheus_can_read_it(http: httpx.Client, relay: Served) -> None:
    relay.pool.measures.record(Timeline(), site="demo", driver="fetch", code="ok")
    answer = http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == CONTENT_TYPE_LATEST
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-request-id"]
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    assert set(families) == {family.name.removesuffix("_total") for family in FAMILIES}
    chats = families["relay_chats"].samples
    assert [(sample.labels, sample.value) for sample in chats] == [
        ({"site": "demo", "driver": "fetch", "code": "ok"}, 1)
    ]


def test_head_has_no_body(http: httpx.Client) -> None:
    answer = http.head("/metrics")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == CONTENT_TYPE_LATEST
    assert http.get("/ping").text == "pong"  # on the same connection: nothing was left over


def test_a_key_is_needed_where_there_are_keys(serve: Callable[..., Served]) -> None:
    with serve(api_keys=["k-1"]).client() as http:
        assert error_of(http.get("/metrics"), 401, "invalid_api_key")["type"] == "invalid_request_error"
        assert http.head("/metrics").status_code == 401
        error_of(http.get("/metrics", headers={"authorization": "Bearer k-2"}), 401, "invalid_api_key")
        for headers in ({"authorization": "Bearer k-1"}, {"x-api-key": "k-1"}):
            assert http.get("/metrics", headers=headers).text.startswith("# HELP relay_")


def test_faults_are_told_as_everywhere(http: httpx.Client, serve: Callable[..., Served]) -> None:
    error_of(http.post("/metrics"), 405, "method_not_allowed")
    broken = serve()
    broken.pool.broken = True
    with broken.client() as other:
        error = error_of(other.get("/metrics"), 500, "internal_error")
    assert "hunter2" not in error["message"]


def test_it_is_described(http: httpx.Client) -> None:
    described = http.get("/openapi.json").json()["paths"]["/metrics"]
    assert list(described) == ["get"]
    assert "text/plain" in described["get"]["responses"]["200"]["content"]
