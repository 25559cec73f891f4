"""Contract: files and images arrive as they are; where they cannot, they are refused before anything is sent."""

from __future__ import annotations

import base64
import hashlib
import random

import pytest

from tests.sites.conftest import Cell
from tests.sites.facts import Able
from tests.sites.stage import Stage

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
NOTES = "笔记 notes\r\n".encode() * 500 + random.Random(1).randbytes(3).hex().encode()


def part(name: str, mime: str, data: bytes) -> dict[str, object]:
    """A content part that holds a file."""
    url = f"data:{mime};base64,{base64.b64encode(data).decode()}"
    if mime.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": url}}
    return {"type": "file", "file": {"filename": name, "file_data": url}}


KINDS: dict[str, tuple[Able, list[tuple[str, str, bytes]]]] = {
    "a file": ("files", [("notes.txt", "text/plain", NOTES)]),
    "an image": ("images", [("pixel.png", "image/png", PIXEL)]),
    "two files and an image": (
        "files",
        [("ü 笔记.txt", "text/plain", NOTES), ("more.md", "text/plain", b"# More\n"), ("p.png", "image/png", PIXEL)],
    ),
}


@pytest.mark.parametrize("what", KINDS)
async def test_files(stage: Stage, cell: Cell, what: str) -> None:
    needs, files = KINDS[what]
    content = [*(part(*file) for file in files), {"type": "text", "text": "read"}]
    before = len(await stage.turns())
    await stage.answer("Read.")
    if not stage.can(needs):
        failed = await stage.refused(content)
        assert (failed.status, failed.code) == (400, "invalid_request"), failed
        assert "takes" in failed.message
        assert len(await stage.turns()) == before
        cell.declared()
        await stage.again()
        return
    assert (await stage.ask(content)).text == "Read."
    turns = await stage.turns()
    assert len(turns) == before + 1
    assert turns[-1].prompt == "read"
    assert sorted(turns[-1].files) == sorted(hashlib.sha256(data).hexdigest() for _, _, data in files)


async def test_too_large_a_file(stage: Stage, cell: Cell) -> None:
    limit = stage.kind.capabilities.max_file_bytes
    if limit is None or limit > 40 << 20 or not stage.can("files"):
        cell.absent()  # none is declared, or it is above what a request may hold
        return
    content = [part("big.txt", "text/plain", b"a" * (limit + 1)), {"type": "text", "text": "read"}]
    failed = await stage.refused(content, stream=False)
    assert failed.code in ("invalid_request", "request_too_large"), failed
    assert failed.status in (400, 413)
    await stage.again()
