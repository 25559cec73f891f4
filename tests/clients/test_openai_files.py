"""The `openai` package's files and pictures, as far as the site's page."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

import openai
import pytest

from tests.clients.tap import Tap

NOTES = "first line\n第二行\n".encode()


@pytest.fixture
def client(relay: Tap) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{relay.url}/v1", api_key="none", max_retries=0, _strict_response_validation=True
    ) as made:
        yield made


def test_a_file_is_kept_and_reaches_the_site(client: openai.OpenAI) -> None:
    kept = client.files.create(file=("notes.txt", NOTES), purpose="user_data")
    assert (kept.filename, kept.bytes) == ("notes.txt", len(NOTES))
    assert kept.id in [file.id for file in client.files.list()]
    assert client.files.content(kept.id).read() == NOTES
    answer = client.chat.completions.create(
        model="demo",
        messages=[
            {
                "role": "user",
                "content": [{"type": "text", "text": "Read it."}, {"type": "file", "file": {"file_id": kept.id}}],
            }
        ],
    )
    said = answer.choices[0].message.content or ""
    assert f"`notes.txt`: {len(NOTES)} bytes, sha256 `{hashlib.sha256(NOTES).hexdigest()}`" in said
    assert client.files.delete(kept.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(kept.id)


def test_a_picture_is_drawn(client: openai.OpenAI) -> None:
    drawn = client.images.generate(model="demo", prompt="draw a cat", response_format="b64_json")
    [picture] = drawn.data or []
    assert base64.b64decode(picture.b64_json or "").lstrip().startswith(b"<svg")
