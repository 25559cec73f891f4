"""The page in a real browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import FilePayload, Page, async_playwright, expect

from relay.demo import DemoServer

BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")

DOCUMENT = r"""# Title with *emphasis*

Text with `code`, a [link](https://example.com/a?b=1&c=2), [1] and <b onclick="x()">raw HTML</b>
---

1. one

   - nested
2. two

2. still the same list

> quote
lazy

```js
const a = "```";

$$ not maths $$
```

| a | b |
|---|--:|
| 1 | $x$ |

$$
a + b

= c
$$

Costs $5 and $6, but $y_1$ is maths, and \(z\) too.
[bad](javascript:alert(1)) ![far](https://example.com/p.png) ![own](/static/picture.svg)

<div>
block

- [ ] task
- [x] done

***
last line 流式输出"""

STREAMED = """async ([text, seed]) => {
  const { MarkdownStream } = await import("/static/markdown.js");
  const next = () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;
  const render = async (size) => {
    const root = document.createElement("div");
    const stream = new MarkdownStream(root);
    stream.sources.set(1, "https://example.com/source");
    for (let at = 0; at < text.length; ) {
      const step = Math.ceil(next() * size);
      stream.push(text.slice(at, at + step));
      at += step;
      if (at < text.length) stream.draw(); // in one piece: never drawn before the end
    }
    await stream.finish();
    return root.innerHTML;
  };
  return [await render(7), await render(1e9)];
}"""


@pytest.fixture
async def page(server: DemoServer) -> AsyncIterator[Page]:
    """The page at the login form. Fails the test on any script error or breach of the page's policy."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, chromium_sandbox=os.geteuid() != 0)
        try:
            opened = await browser.new_page()
            wrong: list[str] = []
            opened.on("pageerror", lambda error: wrong.append(str(error)))
            opened.on("console", lambda said: wrong.append(said.text) if "Content Security" in said.text else None)
            await opened.goto(server.url)
            yield opened
            assert wrong == []
        finally:
            await browser.close()


async def log_in(page: Page) -> None:
    await page.fill("#login-user", "demo")
    await page.fill("#login-password", "demo")
    await page.click("#login-submit")
    await expect(page.locator("#app")).to_be_visible()


async def ask(page: Page, model: str, prompt: str) -> None:
    await page.select_option("#model", model)
    await page.fill("#prompt", prompt)
    await page.click("#send")


async def test_login_chat_and_a_second_turn(page: Page) -> None:
    await page.fill("#login-user", "demo")
    await page.fill("#login-password", "wrong")
    await page.click("#login-submit")
    await expect(page.locator("#login-error")).to_have_text("Wrong user name or password.")
    await log_in(page)
    await expect(page.locator("#user")).to_have_text("demo")
    await expect(page.locator("#send")).to_be_disabled()
    await page.check("#thinking")
    note: FilePayload = {"name": "note.txt", "mimeType": "text/plain", "buffer": b"first\nsecond"}
    await page.set_input_files("#file", note)
    await expect(page.locator("#attachments .chip")).to_have_attribute("data-state", "ready")
    await ask(page, "searcher", "How do *streams* work?")
    turn = page.locator(".turn.assistant")
    await expect(turn).to_have_attribute("data-state", "done")
    await expect(page.locator("#app")).to_have_attribute("data-state", "idle")
    markdown = turn.locator(".answer .markdown")
    await expect(markdown.locator("h1")).to_contain_text("How do streams work?")
    await expect(markdown.locator("blockquote em")).to_have_text("streams")
    await expect(markdown.locator("pre code.language-python")).to_contain_text('return f"Hello, {name}!"')
    await expect(markdown.locator("table td")).to_have_count(6)
    await expect(markdown.locator("ol > li")).to_have_count(3)
    await expect(markdown.locator("ol ul li")).to_have_count(2)
    await expect(markdown.locator(".math .katex annotation").first).to_have_text("x^2")
    await expect(markdown.locator("a.cite").first).to_have_attribute("href", "https://example.com/overview")
    await expect(markdown).to_contain_text("note.txt: 12 bytes")
    await expect(turn.locator(".reasoning-text")).to_contain_text("The user writes")
    await expect(turn.locator(".sources a.source")).to_have_count(3)

    await ask(page, "demo", "And now?")
    await expect(page.locator(".turn.assistant").last).to_contain_text("This is turn 2 of our conversation")
    await page.click("#new-chat")
    await expect(page.locator(".turn")).to_have_count(0)


async def test_stop(page: Page, server: DemoServer) -> None:
    await log_in(page)
    await ask(page, "stall", "Well?")
    await expect(page.locator(".markdown p")).not_to_be_empty()
    await expect(page.locator("#app")).to_have_attribute("data-state", "generating")
    await expect(page.locator("#send")).to_be_hidden()
    await page.click("#stop")
    await expect(page.locator(".turn.assistant")).to_have_attribute("data-state", "stopped")
    await expect(page.locator("#app")).to_have_attribute("data-state", "idle")
    await expect(page.locator("#stop")).to_be_hidden()
    counters = (await (await page.request.get(f"{server.url}/api/stats")).json())["stopped"]
    assert counters == 1


async def test_failures_are_shown(page: Page, server: DemoServer) -> None:
    await log_in(page)
    await page.goto(f"{server.url}/?model=refuses")
    await expect(page.locator("#model")).to_have_value("refuses")
    for model, code in (
        ("refuses", "content_refused"),
        ("rate-limited", "rate_limited"),
        ("cut", "cut"),
        ("error", "internal"),
        ("login-dead", "not_logged_in"),
        ("challenge", "challenge"),
    ):
        await ask(page, model, "Well?")
        last = page.locator(".turn.assistant").last
        await expect(last.locator(".error")).to_have_attribute("data-code", code)
        await expect(page.locator("#app")).to_have_attribute("data-state", "idle")
    await page.click("#logout")
    await expect(page.locator("#login")).to_be_visible()


async def test_streamed_markdown_equals_markdown_at_once(page: Page) -> None:
    for seed in range(12):
        streamed, at_once = await page.evaluate(STREAMED, [DOCUMENT, seed])
        assert streamed == at_once
    for part in ('<pre><code class="language-js">', 'class="cite"', "&lt;b onclick=", "Costs $5 and $6"):
        assert part in at_once
    assert at_once.count('class="katex"') == 4
    assert "javascript:" not in at_once
    assert "<b " not in at_once


async def test_a_megabyte_in_one_block_is_drawn_a_bounded_number_of_times(page: Page) -> None:
    """The cost of the one shape that settled blocks cannot help: counted in characters lexed, not in time."""
    lexed: Any = await page.evaluate(
        """async () => {
          const { MarkdownStream } = await import("/static/markdown.js");
          const stream = new MarkdownStream(document.createElement("div"));
          let drawn = 0;
          for (let n = 0; n < 20000; n++) {
            stream.push("word ".repeat(10));
            stream.draw();
            if (stream.incomingLength === 0) drawn += stream.tail.length;
          }
          await stream.finish();
          return drawn / 1e6;
        }"""
    )
    assert lexed < 20
