"""The Claude replica's page in a real browser: typing into ProseMirror, reading the answer, stopping, attaching."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from playwright.async_api import Page as BrowserPage
from playwright.async_api import async_playwright, expect

from tests.replicas import Answer, Fault, Page, Piece, Record, Replicas, Scenario
from tests.replicas.claude import HOME, session_key, storage_state
from tests.replicas.claude.requests import ROOT

BOX = 'div[data-testid="chat-input"]'
SEND = 'button[aria-label="Send message"]'
STOP = 'button[aria-label="Stop response"]'
ANSWER = "div[data-is-streaming] .font-claude-response"
DONE = 'div[data-is-streaming="false"]'

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

Open = Callable[..., Awaitable[BrowserPage]]


@pytest.fixture
async def open_page(replicas: Replicas) -> AsyncIterator[Open]:
    """Opens the page as an account (or guest), in a context of its own; fails on a script error in the page."""
    errors: list[str] = []
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=shutil.which("chromium-headless-shell"), chromium_sandbox=False, args=replicas.chromium_args
        )

        async def open_(account: str, path: str = "/new", state: Any = None, **options: Any) -> BrowserPage:
            context = await browser.new_context(storage_state=state or storage_state(account, **options))  # type: ignore[arg-type]
            page = await context.new_page()
            page.on("pageerror", lambda error: errors.append(str(error)))
            await page.goto(HOME + path)
            return page

        yield open_
        await browser.close()
    assert errors == []


async def ask(page: BrowserPage, prompt: str) -> None:
    """Put ``prompt`` in the box and send it, once the page can."""
    await expect(page.locator(BOX)).to_be_visible()
    await page.evaluate(PASTE, [BOX, prompt])
    await page.locator(SEND).click()


async def answered(replicas: Replicas, account: str, count: int = 1) -> Record:
    """The record of the ``count``-th finished chat call, which was not refused."""
    found = await replicas.records(
        site="claude", account=account, operation="chat", state="finished", count=count, timeout_s=60
    )
    assert found[-1].refused is None
    return found[-1]


def long_prompt(chars: int) -> str:
    """Lines of mixed scripts with blank ones among them, exactly ``chars`` characters."""
    lines = ("" if index % 7 == 0 else f"line {index} — 第 {index} 行 🌌 with  two spaces" for index in range(chars))
    return "\n".join(lines)[:chars]


async def test_a_paste_event_fills_the_box_exactly(replicas: Replicas, open_page: Open) -> None:
    prompt = long_prompt(20_000)
    page = await open_page("c-paster")
    await ask(page, prompt)
    record = await answered(replicas, "c-paster")
    assert (record.body["prompt"], record.body["attachments"]) == (prompt, [])


async def test_insert_text_keeps_lines(replicas: Replicas, open_page: Open) -> None:
    """Unlike Lexical, ProseMirror takes what execCommand inserts after a line break, blank lines and spaces too."""
    prompt = "one\n\n  two\nthree  words"
    page = await open_page("inserter")
    await expect(page.locator(BOX)).to_be_visible()
    await page.evaluate(INSERT, [BOX, prompt])
    await page.locator(SEND).click()
    assert (await answered(replicas, "inserter")).body["prompt"] == prompt


async def test_a_very_long_paste_becomes_an_attachment(replicas: Replicas, open_page: Open) -> None:
    await replicas.play("claude", "c-long-paster", Scenario(options={"paste_chars": 5000}))
    prompt = long_prompt(200_000)
    page = await open_page("c-long-paster")
    await ask(page, prompt)
    await expect(page.locator(BOX)).to_have_text("")
    record = await answered(replicas, "c-long-paster")
    [attachment] = record.body["attachments"]
    assert (record.body["prompt"], attachment["file_name"]) == ("", "paste.txt")
    assert attachment["extracted_content"] == prompt
    [kept] = (await replicas.seen("claude", "c-long-paster")).conversations
    assert (kept.turns[0].prompt, kept.turns[0].files) == (prompt, [])


async def test_enter_sends_and_shift_enter_breaks_the_line(replicas: Replicas, open_page: Open) -> None:
    page = await open_page("c-typist")
    await page.locator(BOX).click()
    await page.keyboard.type("one")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("two")
    await page.keyboard.press("Enter")
    assert (await answered(replicas, "c-typist")).body["prompt"] == "one\ntwo"


async def test_the_page_shows_the_answer_and_goes_on(replicas: Replicas, open_page: Open) -> None:
    pages = [Page(url="https://a.example/1", title="Sky notes")]
    pieces = [
        Piece(text="let me ", kind="reasoning"),
        Piece(text="think", kind="reasoning"),
        Piece(text="sky", kind="search", pages=pages),
        Piece(text="# Sky\n\nIt is **bl"),
        Piece(text="ue** 蓝：$E=h\\nu$.\n\n- a\n- b\n"),
        Piece(text="\n| x | y |\n|---|---|\n| 1 | 2 |\n\n```py\nprint(1 < 2)\n```\n\nSo it is"),
        Piece(kind="cite", page=1),
        Piece(text="."),
    ]
    scenario = Scenario(answer=Answer(pieces=pieces), cuts=5, hydrate_ms=50, options={"artifact": "a document"})
    await replicas.play("claude", "c-reader", scenario)
    page = await open_page("c-reader", "/")
    await page.locator('[data-testid="model-selector-dropdown"]').click()
    await page.locator('[role="menuitem"]', has_text="Opus 5.5").click()
    await page.get_by_role("button", name="Search and tools").click()
    for tool in ("Web search", "Extended thinking"):
        await page.get_by_role("menuitemcheckbox", name=tool).click()
    await ask(page, "why is the sky blue")
    record = await answered(replicas, "c-reader")
    assert record.body["create_conversation_params"]["name"] == ""
    assert (record.body["parent_message_uuid"], record.body["model"]) == (ROOT, "claude-opus-5-5")
    await expect(page.locator(DONE)).to_have_count(1)
    answer = page.locator(ANSWER).last
    await expect(answer.locator("h1")).to_have_text("Sky")
    await expect(answer.locator("strong")).to_have_text("blue")
    await expect(answer.locator("li")).to_have_text(["a", "b"])
    await expect(answer.locator("td")).to_have_text(["1", "2"])
    await expect(answer.locator("pre code")).to_have_text("print(1 < 2)")
    await expect(answer.locator("annotation")).to_have_text("E=h\\nu")
    await expect(answer.locator('a[href="https://a.example/1"]')).to_have_text("Sky notes")
    await expect(answer.locator(".artifact-block-cell")).to_have_text("Made")
    await expect(answer.locator(".standard-markdown")).not_to_contain_text("let me think")
    thought = answer.get_by_text("let me think")
    await expect(thought).to_be_hidden()
    await answer.get_by_role("button", name="Thought process").click()
    await expect(thought).to_be_visible()
    await expect(page.locator('[data-testid="action-bar-copy"]')).to_have_count(1)
    await expect(page.locator(STOP)).to_have_count(0)
    await expect(page.locator('[data-testid="chat-title-button"]')).to_have_text("why is the sky blue")
    await ask(page, "and at night?")
    second = await answered(replicas, "c-reader", 2)
    assert "create_conversation_params" not in second.body
    assert second.path == record.path
    assert page.url == f"{HOME}/chat/{record.path.split('/')[-2]}"
    turns = (await replicas.seen("claude", "c-reader")).conversations[0].turns
    assert [turn.parent for turn in turns] == ["", turns[0].answer]
    assert [(turn.thinking, turn.search) for turn in turns] == [(True, True)] * 2
    await page.reload()
    await expect(page.locator('[data-testid="user-message"]')).to_have_text(["why is the sky blue", "and at night?"])
    await expect(page.locator(DONE)).to_have_count(2)
    await expect(page.locator(ANSWER).last.locator("h1")).to_have_text("Sky")
    await ask(page, "and at noon?")
    await answered(replicas, "c-reader", 3)
    turns = (await replicas.seen("claude", "c-reader")).conversations[0].turns
    assert turns[2].parent == turns[1].answer


async def test_edit_and_retry(replicas: Replicas, open_page: Open) -> None:
    page = await open_page("c-editor")
    await ask(page, "one")
    await answered(replicas, "c-editor")
    await ask(page, "two")
    await answered(replicas, "c-editor", 2)
    await page.locator('[data-testid="action-bar-retry"]').last.click()
    await answered(replicas, "c-editor", 3)
    await expect(page.locator(STOP)).to_have_count(0)
    await page.get_by_role("button", name="Edit").last.click()
    await page.locator("textarea").fill("two, edited")
    await page.get_by_role("button", name="Save").click()
    await answered(replicas, "c-editor", 4)
    await expect(page.locator('[data-testid="user-message"]')).to_have_text(["one", "two, edited"])
    turns = (await replicas.seen("claude", "c-editor")).conversations[0].turns
    assert [(turn.prompt, turn.again) for turn in turns] == [
        ("one", False),
        ("two", False),
        ("two", True),
        ("two, edited", False),
    ]
    assert {turn.parent for turn in turns[1:]} == {turns[0].answer}


async def test_a_long_answer_is_rendered_whole(replicas: Replicas, open_page: Open) -> None:
    text = "\n\n".join(f"Paragraph {index}: 短波散射 {index * index}." for index in range(2000))
    parts = [Piece(text=text[at : at + 97]) for at in range(0, len(text), 97)]
    await replicas.play("claude", "c-long-reader", Scenario(answer=Answer(pieces=parts), cuts=1))
    page = await open_page("c-long-reader")
    await ask(page, "go on")
    await answered(replicas, "c-long-reader")
    await expect(page.locator(DONE)).to_be_attached(timeout=30_000)
    shown = await page.locator(".standard-markdown").evaluate(
        "node => [...node.children].map((p) => p.textContent).join('\\n\\n')"
    )
    assert shown == text


async def test_stop_aborts_the_call_and_tells_the_site(replicas: Replicas, open_page: Open) -> None:
    await replicas.play("claude", "c-page-stopper", Scenario(faults=[Fault(kind="stall", after=5, times=1)]))
    page = await open_page("c-page-stopper")
    await ask(page, "hi")
    await expect(page.locator('div[data-is-streaming="true"] .progressive-markdown')).to_contain_text("short waves")
    await page.locator(STOP).click()
    [record] = await replicas.records(
        site="claude", account="c-page-stopper", operation="chat", state="aborted", count=1
    )
    assert (record.http, record.bytes_sent > 0) == ("2", True)
    await replicas.records(site="claude", account="c-page-stopper", operation="stop", state="finished", count=1)
    await expect(page.locator(STOP)).to_have_count(0)
    await ask(page, "again")
    await answered(replicas, "c-page-stopper")
    turns = (await replicas.seen("claude", "c-page-stopper")).conversations[0].turns
    assert [turn.stopped for turn in turns] == [True, False]
    assert turns[1].parent == turns[0].answer


async def test_files_go_through_the_page(replicas: Replicas, open_page: Open) -> None:
    page = await open_page("c-filer")
    data = "笔记\n".encode() * 1000
    payloads: Any = [
        {"name": "notes.txt", "mimeType": "text/plain", "buffer": data},
        {"name": "dot.png", "mimeType": "image/png", "buffer": b"\x89PNG"},
    ]
    await page.locator('input[data-testid="file-upload"]').set_input_files(payloads)
    await expect(page.locator('.chip[data-status="done"]')).to_have_text(["notes.txt", "dot.png"])
    await ask(page, "read them")
    await answered(replicas, "c-filer")
    [kept] = (await replicas.seen("claude", "c-filer")).conversations
    assert kept.turns[0].files == [hashlib.sha256(each).hexdigest() for each in (data, b"\x89PNG")]


async def test_a_project_and_an_incognito_chat(replicas: Replicas, open_page: Open) -> None:
    project = str(uuid4())
    page = await open_page("c-planner-page", f"/project/{project}")
    await ask(page, "plan")
    await answered(replicas, "c-planner-page")
    await page.locator('a[href="/new"][aria-label="New chat"]').click()
    await page.get_by_title("Incognito chat").check()
    await ask(page, "psst")
    await answered(replicas, "c-planner-page", 2)
    planned, hidden = (await replicas.seen("claude", "c-planner-page")).conversations
    assert (planned.turns[0].agent, planned.temporary) == (project, False)
    assert (hidden.turns[0].agent, hidden.temporary) == ("", True)


async def test_a_pasted_session_key_is_a_login_and_slides(replicas: Replicas, open_page: Open) -> None:
    cookie = {"name": "sessionKey", "value": session_key("c-paste", 30), "domain": ".claude.ai", "path": "/"}
    state = {"cookies": [cookie | {"expires": -1, "httpOnly": True, "secure": True, "sameSite": "Lax"}], "origins": []}
    page = await open_page("c-paste", state=state)
    await ask(page, "hi")
    await answered(replicas, "c-paste")
    found = {each["name"]: each for each in await page.context.cookies()}
    assert found["sessionKey"]["value"] != cookie["value"]
    assert found["sessionKey"]["httpOnly"]
    assert await page.evaluate("document.cookie.includes('lastActiveOrg=') && !document.cookie.includes('sessionKey')")


@pytest.mark.parametrize("login", ["dead", "guest", "banned"])
async def test_who_is_not_logged_in_meets_the_wall(replicas: Replicas, open_page: Open, login: str) -> None:
    account = f"walled-{login}"
    await replicas.play("claude", account, Scenario.model_validate({"login": login}))
    page = await open_page(account)
    await expect(page.locator('[data-testid="login-with-google"]')).to_be_visible()
    await expect(page.locator('input[data-testid="code"]')).to_be_visible()
    assert page.url == f"{HOME}/login?returnTo=%2Fnew"


async def test_a_guest_and_a_login_at_the_login_page(replicas: Replicas, open_page: Open) -> None:
    visitor = await open_page("c-visitor", guest=True)
    await expect(visitor.locator('[data-testid="login-with-google"]')).to_be_visible()
    member = await open_page("c-member", "/login")
    await expect(member.locator(BOX)).to_be_visible()
    await replicas.play("claude", "c-member", Scenario(login="dead"))
    await ask(member, "hi")
    await expect(member.locator('[data-testid="login-with-google"]')).to_be_visible()


async def test_refusals_are_shown(replicas: Replicas, open_page: Open) -> None:
    faults = [
        Fault(kind="status", status=429, resets_in_s=60, times=1),
        Fault(kind="error", code="overloaded_error", message="Overloaded", after=1, times=1),
        Fault(kind="challenge", times=1),
    ]
    await replicas.play("claude", "c-unlucky", Scenario(faults=faults))
    page = await open_page("c-unlucky")
    for count, text in enumerate((re.compile("exceeded_limit"), re.compile("Overloaded"), re.compile("403")), start=1):
        await ask(page, f"try {count}")
        await expect(page.get_by_role("alert")).to_have_count(count)
        await expect(page.get_by_role("alert").last).to_have_text(text)
        await expect(page.locator(STOP)).to_have_count(0)
    await ask(page, "at last")
    await expect(page.locator(ANSWER).last).to_contain_text("scatter more.")
    turns = (await replicas.seen("claude", "c-unlucky")).conversations[0].turns
    assert [turn.prompt for turn in turns] == ["try 2", "at last"]


async def test_the_challenge_and_layout_b(replicas: Replicas, open_page: Open) -> None:
    await replicas.play("claude", "challenged-page", Scenario(challenge=True))
    await replicas.play("claude", "c-moved", Scenario(layout="B"))
    challenged = await open_page("challenged-page")
    await expect(challenged).to_have_title("Just a moment...")
    assert await challenged.locator(BOX).count() == 0
    await replicas.play("claude", "challenged-page", Scenario())
    await challenged.reload()
    await expect(challenged.locator(BOX)).to_be_visible()
    moved = await open_page("c-moved")
    editor = moved.locator('[contenteditable="true"]')
    await expect(editor).to_be_visible()
    await editor.click()
    await moved.keyboard.type("hi")
    await moved.keyboard.press("Enter")
    await answered(replicas, "c-moved")
    await expect(moved.get_by_text("scatter more.")).to_be_visible()
    known = [
        *(BOX, SEND, STOP, ANSWER, DONE, ".ProseMirror", "[data-testid]", "[aria-label]", "[role=menuitem]"),
        *("[data-test-render-count]", "[data-user-message-bubble]", ".standard-markdown", 'a[href="/new"]'),
    ]
    assert {each: await moved.locator(each).count() for each in known} == dict.fromkeys(known, 0)
