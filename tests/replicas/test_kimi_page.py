"""The Kimi replica's page in a real browser: typing into Lexical, reading the answer, stopping, rotating, attaching."""

from __future__ import annotations

import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.replicas import Answer, Fault, Piece, Record, Replicas, Scenario
from tests.replicas.kimi import HOME, storage_state
from tests.replicas.kimi.calls import CHAT
from tests.replicas.kimi.frames import envelope

BOX = 'div.chat-input-editor[contenteditable="true"][role="textbox"]'
SEND = ".send-button-container:not(.disabled):not(.stop)"
STOP = ".send-button-container.stop"
ANSWER = ".chat-content-item-assistant .markdown-container:not(.toolcall-content-text) .markdown"

PASTE = """([selector, text]) => {
  const box = document.querySelector(selector), data = new DataTransfer();
  data.setData("text/plain", text);
  box.focus();
  box.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
}"""
INSERT = """([selector, text]) => {
  document.querySelector(selector).focus();
  document.execCommand("insertText", false, text);
}"""

Open = Callable[..., Awaitable[Page]]


@asynccontextmanager
async def browsing(replicas: Replicas) -> AsyncIterator[Browser]:
    """A Chromium that sees the replicas as the sites."""
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=shutil.which("chromium-headless-shell"), chromium_sandbox=False, args=replicas.chromium_args
        )
        yield browser
        await browser.close()


@pytest.fixture
async def open_page(replicas: Replicas) -> AsyncIterator[Open]:
    """Opens the page as a user (or guest), in a context of its own; fails on a script error in the page."""
    errors: list[str] = []
    async with browsing(replicas) as browser:

        async def open_(user: str, path: str = "/", **options: Any) -> Page:
            context = await browser.new_context(storage_state=storage_state(user, **options))  # type: ignore[arg-type]
            page = await context.new_page()
            page.on("pageerror", lambda error: errors.append(str(error)))
            await page.goto(HOME + path)
            return page

        yield open_
    assert errors == []


async def ask(page: Page, prompt: str) -> None:
    """Put ``prompt`` in the box and send it, once the page can."""
    await expect(page.locator(BOX)).to_be_visible()
    await page.evaluate(PASTE, [BOX, prompt])
    await page.locator(SEND).click()


async def answered(replicas: Replicas, user: str, count: int = 1) -> Record:
    """The record of the ``count``-th finished chat call."""
    return (await replicas.records(account=user, operation="chat", state="finished", count=count, timeout_s=60))[-1]


def prompt_of(record: Record) -> str:
    """The text that the site received."""
    return str(record.body["message"]["blocks"][-1]["text"]["content"])


def long_prompt(chars: int) -> str:
    """Lines of mixed scripts with blank ones among them, exactly ``chars`` characters."""
    lines = ("" if index % 7 == 0 else f"line {index} — 第 {index} 行 🌌 with  two spaces" for index in range(chars))
    return "\n".join(lines)[:chars]


@pytest.mark.parametrize("chars", [20_000, 200_000])
async def test_a_paste_event_fills_the_box_exactly(
    replicas: Replicas, open_page: Open, chars: int, record_property: Callable[[str, object], None]
) -> None:
    user = f"paste-{chars}"
    page = await open_page(user)
    await expect(page.locator(".current-model")).to_be_visible()
    prompt = long_prompt(chars)
    start = time.monotonic()
    await page.evaluate(PASTE, [BOX, prompt])
    await page.locator(SEND).click(timeout=60_000)
    record = await answered(replicas, user)
    record_property("paste_to_answer_s", round(time.monotonic() - start, 2))
    assert record.refused is None
    assert prompt_of(record) == prompt


async def test_insert_text_loses_lines(replicas: Replicas, open_page: Open) -> None:
    """Why adapters must not use it here: Lexical drops what execCommand inserts after a line break."""
    page = await open_page("insert")
    await expect(page.locator(".current-model")).to_be_visible()
    await page.evaluate(INSERT, [BOX, "one\n\ntwo\nthree"])
    await page.locator(SEND).click()
    assert prompt_of(await answered(replicas, "insert")) != "one\n\ntwo\nthree"


async def test_the_page_signs_and_shows_the_answer(replicas: Replicas, open_page: Open) -> None:
    pieces = [
        Piece(text="let me ", kind="reasoning"),
        Piece(text="think", kind="reasoning"),
        Piece(text="# Sky\n\nIt is **bl"),
        Piece(text="ue** 蓝：$E=h\\nu$.\n\n- a\n- b\n"),
        Piece(text="\n| x | y |\n|---|---|\n| 1 | 2 |\n\n```py\nprint(1 < 2)\n```\n"),
    ]
    scenario = Scenario(answer=Answer(pieces=pieces), shield=True, cuts=5, hydrate_ms=50)
    await replicas.play("kimi", "reader", scenario)
    page = await open_page("reader")
    await expect(page.locator(".user-area__main img")).to_be_attached()
    await page.locator(".current-model").click()
    await page.locator(".effort-item").hover()
    await page.locator(".effort-option .effort-name", has_text="High").click()
    await ask(page, "why is the sky blue")
    record = await answered(replicas, "reader")
    assert record.refused is None
    assert record.body["options"]["thinking"] is True
    answer = page.locator(ANSWER).last
    await expect(answer.locator("h1")).to_have_text("Sky")
    await expect(answer.locator("strong")).to_have_text("blue")
    await expect(answer.locator("li")).to_have_text(["a", "b"])
    await expect(answer.locator("td")).to_have_text(["1", "2"])
    await expect(answer.locator("code")).to_have_text("print(1 < 2)")
    await expect(answer.locator("annotation")).to_have_text("E=h\\nu")
    await expect(page.locator(".markdown-container.toolcall-content-text")).to_have_text("let me think")
    await expect(page.locator(STOP)).to_have_count(0)
    await ask(page, "and at night?")
    second = await answered(replicas, "reader", 2)
    assert second.headers["x-msh-shield-data"] != record.headers["x-msh-shield-data"]
    assert (second.refused, second.body["chat_id"]) == (None, page.url.rpartition("/")[2])
    async with replicas.client("www.kimi.com") as client:
        headers = {name: value for name, value in second.headers.items() if name != "content-length"}
        replayed = await client.post(CHAT, headers=headers, content=envelope(second.body))
        assert replayed.status_code == 403, "the page's signature is good for one request only"
    await page.reload()
    await expect(page.locator(".chat-content-item-user")).to_have_text(["why is the sky blue", "and at night?"])
    await expect(page.locator(ANSWER)).to_have_count(2)


async def test_a_long_answer_is_rendered_whole(replicas: Replicas, open_page: Open) -> None:
    text = "\n\n".join(f"Paragraph {index}: 短波散射 {index * index}." for index in range(2000))
    parts = [Piece(text=text[at : at + 97]) for at in range(0, len(text), 97)]
    await replicas.play("kimi", "long-reader", Scenario(answer=Answer(pieces=parts), cuts=1))
    page = await open_page("long-reader")
    await ask(page, "go on")
    await answered(replicas, "long-reader")
    await expect(page.locator(".segment-assistant-actions")).to_be_attached(timeout=30_000)
    shown = await page.locator(ANSWER).last.evaluate(
        "node => [...node.children].map((p) => p.textContent).join('\\n\\n')"
    )
    assert shown == text


async def test_stop_aborts_the_call(replicas: Replicas, open_page: Open) -> None:
    await replicas.play("kimi", "stopper", Scenario(faults=[Fault(kind="stall", after=5, times=1)]))
    page = await open_page("stopper")
    await ask(page, "hi")
    await expect(page.locator(ANSWER).last).to_contain_text("Because short waves")
    await page.locator(STOP).click()
    [record] = await replicas.records(account="stopper", operation="chat", state="aborted", count=1)
    assert (record.http, record.bytes_sent > 0) == ("2", True)
    await expect(page.locator(STOP)).to_have_count(0)
    await ask(page, "again")
    assert (await answered(replicas, "stopper")).refused is None


async def test_the_page_rotates_its_tokens(replicas: Replicas, open_page: Open) -> None:
    await replicas.play("kimi", "rotor", Scenario(faults=[Fault(kind="status", status=401, times=1)]))
    page = await open_page("rotor", access_ttl_s=-1)
    old = storage_state("rotor")["origins"][0]["localStorage"][1]["value"]
    await expect(page.locator(".user-area__main img")).to_be_attached()
    await ask(page, "hi")
    await answered(replicas, "rotor", 2)
    refreshes = await replicas.records(account="rotor", operation="refresh", count=2)
    assert [record.status for record in refreshes] == [200, 200], "once for the expiry, once for the 401"
    assert await page.evaluate("localStorage.refresh_token") != old


async def test_a_file_goes_through_the_page(replicas: Replicas, open_page: Open) -> None:
    page = await open_page("filer")
    await expect(page.locator(".current-model")).to_be_visible()
    data = "笔记\n".encode() * 1000
    payload = {"name": "notes.txt", "mimeType": "text/plain", "buffer": data}
    await page.locator('input.hidden-input[type="file"]').set_input_files(payload)  # type: ignore[arg-type]
    await expect(page.locator('.file-card[data-status="done"]')).to_have_text("notes.txt")
    await ask(page, "read it")
    record = await answered(replicas, "filer")
    assert record.refused is None
    [upload] = (await replicas.records(account="filer", operation="upload"))[0].uploads
    assert (upload.name, upload.size_bytes) == ("notes.txt", len(data))


async def test_guest_challenge_and_layout_b(replicas: Replicas, open_page: Open) -> None:
    await replicas.play("kimi", "challenged", Scenario(challenge=True))
    await replicas.play("kimi", "moved", Scenario(layout="B"))
    guest = await open_page("visitor", guest=True)
    await expect(guest.locator(".not-login-container")).to_be_visible()
    await expect(guest.locator(BOX)).to_be_visible()
    [probe] = await replicas.records(account="visitor", operation="probe", count=1)
    assert probe.status == 401
    challenged = await open_page("challenged")
    await expect(challenged.locator(".yidun_input")).to_be_visible()
    moved = await open_page("moved")
    await expect(moved.locator("[contenteditable][data-lexical-editor]")).to_be_visible()
    assert await moved.locator(f"{BOX}, .send-button-container, .user-area__main").count() == 0


async def test_enter_only_breaks_the_line(replicas: Replicas, open_page: Open) -> None:
    page = await open_page("typist")
    await page.locator(BOX).click()
    await page.keyboard.type("one\ntwo")
    await page.locator(SEND).click()
    assert prompt_of(await answered(replicas, "typist")) == "one\ntwo"
