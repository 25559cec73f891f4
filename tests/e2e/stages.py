"""Making a site answer with a given text, its bytes cut at random places."""

from __future__ import annotations

import inspect
import json
import random
import uuid
from pathlib import Path
from typing import Protocol

import httpx

from tests.replicas import Answer, Piece, Replicas, Scenario

MEAN_PIECE_CHARS = 60
MOST_PIECES = 400
MOST_SNAPSHOTS = 30
"""Of a Gradio app, which sends and renders each growing answer anew."""


class Stage(Protocol):
    """A site that answers as told."""

    model: str

    async def play(self, text: str, *, seed: int = 0) -> str:
        """The prompt that will be answered with `text` (as often as it is sent, until the next `play`)."""


def cuts(text: str, count: int, seed: int) -> list[int]:
    """Random places to cut `text` in at most `count` parts."""
    inner = range(1, len(text))
    return sorted(random.Random(seed).sample(inner, min(max(count - 1, 0), len(inner))))


def pieces(text: str, seed: int) -> list[str]:
    """`text` in random pieces, as a model would give it."""
    places = cuts(text, min(1 + len(text) // MEAN_PIECE_CHARS, MOST_PIECES), seed)
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


class DemoStage:
    """The demo site's stored scripts; it cuts their bytes."""

    model = "demo/script"

    def __init__(self, address: str) -> None:
        self.address = address

    async def play(self, text: str, *, seed: int = 0) -> str:
        return await self.store([(0, piece) for piece in pieces(text, seed)], seed=seed)

    async def store(self, timed: list[tuple[float, str]], *, seed: int = 0) -> str:
        """The prompt for these pieces, each with the milliseconds before it."""
        async with httpx.AsyncClient(base_url=self.address, trust_env=False, timeout=30) as client:
            kept = await client.post("/api/script", json={"pieces": timed, "seed": seed})
        kept.raise_for_status()
        return f"script:{kept.json()['id']}"

    async def stats(self) -> dict[str, int]:
        """The site's counters."""
        async with httpx.AsyncClient(base_url=self.address, trust_env=False) as client:
            stats: dict[str, int] = (await client.get("/api/stats")).json()
            return stats


class KimiStage:
    """One user's scenario at the Kimi replica."""

    model = "kimi"

    def __init__(self, replicas: Replicas, account: str) -> None:
        self.replicas = replicas
        self.account = account

    async def play(self, text: str, *, seed: int = 0) -> str:
        parts = [Piece(text=piece) for piece in pieces(text, seed)]
        await self.set(Scenario(answer=Answer(pieces=parts), cuts=seed))
        return f"answer {seed}"

    async def set(self, scenario: Scenario) -> None:
        """Any scenario."""
        await self.replicas.play("kimi", self.account, scenario)


class GradioStage:
    """A real Gradio app that reads its answers from files; a proxy before it cuts the bytes."""

    model = "gradio/text"

    def __init__(self, folder: Path, address: str) -> None:
        """`address`: that of the apps, each at `<address>/<kind>/`."""
        self.folder = folder
        self.address = address

    async def play(self, text: str, *, seed: int = 0) -> str:
        name = uuid.uuid4().hex
        script = {"text": text, "cuts": cuts(text, min(1 + len(text) // 500, MOST_SNAPSHOTS), seed)}
        (self.folder / f"{name}.json").write_text(json.dumps(script), "utf-8")
        return f"script:{name}"

    def received(self) -> list[dict[str, object]]:
        """What the apps recorded so far."""
        file = self.folder / "received.jsonl"
        return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []


def sent_by(site: str, driver: str, text: str) -> str:
    """What the site sends of an app's `text`: Gradio's Chatbot passes it through `inspect.cleandoc`."""
    return inspect.cleandoc(text) if site == "gradio" and driver in ("screen", "dom") else text
