"""`/v1/models`, `/ping`, `/health`, `/ready`."""

from __future__ import annotations

import httpx

from tests.api.conftest import Served
from tests.api.raw import error_of
from tests.spec import validate


def test_models_satisfy_both_sdks(http: httpx.Client) -> None:
    listed = http.get("/v1/models").json()
    validate("ListModelsResponse", listed)
    first = listed["data"][0]
    assert (first["id"], first["owned_by"], first["type"], first["lifecycle"]) == ("demo", "demo", "model", "active")
    assert first["display_name"] == "Demo"
    assert first["created_at"].endswith("Z")
    assert (listed["first_id"], listed["last_id"]) == (listed["data"][0]["id"], listed["data"][-1]["id"])
    assert listed["has_more"] is False


def test_all_lists_sites_without_an_account(http: httpx.Client) -> None:
    assert "kimi" not in [model["id"] for model in http.get("/v1/models").json()["data"]]
    everything = {model["id"]: model for model in http.get("/v1/models?all=true").json()["data"]}
    assert everything["kimi"]["relay"]["ready"] is False


def test_one_model(http: httpx.Client) -> None:
    for name in ("demo", "demo/echo", "gpt-demo", "demo-search-think", "kimi/abcdefghij0123456789"):
        model = http.get(f"/v1/models/{name}").json()
        validate("Model", model)
        assert model["id"] == name
    error_of(http.get("/v1/models/demo/nothing"), 404, "model_not_found")


def test_health(http: httpx.Client, relay: Served) -> None:
    assert http.get("/ping").text == "pong"
    assert http.head("/").status_code == 200
    assert http.get("/health").json()["accounts"][0]["state"] == "ready"
    assert http.get("/ready").status_code == 200
    relay.pool.ready = False
    try:
        assert http.get("/ready").status_code == 503
        assert http.get("/health").json()["status"] == "degraded"
    finally:
        relay.pool.ready = True


def test_description(http: httpx.Client) -> None:
    described = http.get("/openapi.json").json()
    schema = described["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["$ref"].rpartition("/")[2] in described["components"]["schemas"]
