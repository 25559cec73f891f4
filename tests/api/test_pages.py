"""The pages for people."""

import re

import httpx
import pytest

from tests.api.conftest import Served


@pytest.mark.parametrize("path", ["/admin", "/docs"])
def test_a_page_needs_nothing_from_elsewhere(relay: Served, path: str) -> None:
    page = httpx.get(relay.url + path)
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert addresses
    for address in addresses:
        assert address.startswith(("/", "data:,")), address
        if address.startswith("/"):
            assert httpx.get(relay.url + address).status_code == 200, address


def test_the_routes_page_names_every_route(relay: Served) -> None:
    page = httpx.get(f"{relay.url}/docs").text
    for path in httpx.get(f"{relay.url}/openapi.json").json()["paths"]:
        assert f"<code>{path}</code>" in page
