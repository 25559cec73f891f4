"""A page that renders Markdown as a chat site does, and the observer on it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from playwright.async_api import Page

from relay.browser.markdown import OBSERVER, MarkdownStream


@dataclass
class Watched:
    """The page, and what was made of the answer on it: `updates` as reported, `deltas` as streamed."""

    page: Page
    stream: MarkdownStream = field(default_factory=MarkdownStream)
    deltas: list[str] = field(default_factory=list)
    updates: list[str] = field(default_factory=list)

    async def observe(self, *, drop: tuple[str, ...] = (), interval_ms: int = 1, **site: object) -> None:
        """Begin a new answer; `site` says how the page renders it (page.js, `start`)."""
        self.stream, self.deltas, self.updates = MarkdownStream(), [], []
        await self.page.evaluate("(site) => chat.start(site)", site)
        await self.page.evaluate(
            f"""(options) => {{
                window.updates = [];
                window.watch = ({OBSERVER})("#answer", options, (json) => updates.push(json));
            }}""",
            {"drop": list(drop), "interval_ms": interval_ms},
        )

    async def play(self, pieces: list[str]) -> str:
        """Let the pieces arrive at the page; returns the Markdown read off it."""
        await self.page.evaluate("(pieces) => chat.play(pieces)", pieces)
        return await self.close()

    async def close(self) -> str:
        """End the answer; returns the Markdown."""
        self.updates = await self.page.evaluate("() => { watch.stop(); return updates; }")
        self.deltas += [self.stream.feed(json.loads(update)) for update in self.updates]
        self.deltas.append(self.stream.close())
        return "".join(self.deltas)

    async def html(self, markdown: str) -> str:
        """What the page would render."""
        return str(await self.page.evaluate("(source) => chat.html(source)", markdown))
