"""The DeepSeek replica's page in a real browser: typing, proving, reading, stopping, attaching, its walls."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.replicas import Answer, Fault, Piece, Record, Replicas, Scenario
from tests.replicas import Page as WebPage
from tests.replicas.deepseek import HOME, storage_state
from tests.replicas.deepseek.proofs import CHAT
from tests.replicas.deepseek.reading import refused

BOX = "textarea[placeholder]"
SEND = 'div[role="button"].ds-button--primary:not(.ds-button--disabled)'
STOP = 'div[role="button"].ds-button--primary:has(rect)'
ANSWER = ".ds-message .ds-assistant-message-main-content.ds-markdown"
THOUGHT = "._74c0879:first-child"
BUTTONS = '.ds-message + * [class*="ds-button"]'
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)

FILL = """(box, text) => {
  Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value").set.call(box, text);
  box.dispatchEvent(new Event("input", { bubbles: true }));
}"""
"""Playwright's own ``fill`` takes minutes for long texts."""

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
    """Opens the page as a user, in a context of its own; fails on a script error and on what its policy stops."""
    errors: list[str] = []
    async with browsing(replicas) as browser:

        async def open_(user: str, path: str = "/", **options: Any) -> Page:
            context = await browser.new_context(storage_state=storage_state(user, **options))  # type: ignore[arg-type]
            page = await context.new_page()
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("console", lambda said: errors.append(said.text) if "Content Security" in said.text else None)
            await page.goto(HOME + path)
            return page

        yield open_
    assert errors == []


async def ask(page: Page, prompt: str) -> None:
    """Put ``prompt`` in the box and send it, once the page can."""
    await page.locator(BOX).evaluate(FILL, prompt)
    await page.locator(SEND).click()


async def answered(replicas: Replicas, user: str, count: int = 1) -> Record:
    """The record of the ``count``-th finished chat call."""
    return (await replicas.records(account=user, operation="chat", state="finished", count=count, timeout_s=60))[-1]


async def test_the_page_proves_and_shows_the_answer(replicas: Replicas, open_page: Open) -> None:
    pages = [WebPage(url="https://a.example/1", title="A"), WebPage(url="https://b.example/2", title="B")]
    pieces = [
        Piece(text="let me ", kind="reasoning"),
        Piece(text="think", kind="reasoning"),
        Piece(text="sky", kind="search", pages=pages),
        Piece(text="# Sky\n\nIt is **bl"),
        Piece(text="ue** 蓝"),
        Piece(kind="cite", page=2),
        Piece(text=": $E=h\\nu$.\n\n- a\n- b\n"),
        Piece(text="\n| x | y |\n|---|---|\n| 1 | 2 |\n\n```py\nprint(1 < 2)\n```\n"),
    ]
    await replicas.play("deepseek", "ds-page-reader", Scenario(answer=Answer(pieces=pieces), cuts=5, hydrate_ms=50))
    page = await open_page("ds-page-reader")
    await expect(page.locator(BOX)).to_be_visible()
    for name in ("深度思考", "智能搜索"):
        toggle = page.locator(".ds-toggle-button", has_text=name)
        await toggle.click()
        await expect(toggle).to_have_attribute("aria-pressed", "true")
    expert = page.locator('[role="radiogroup"] [role="radio"]', has_text="专家模式")
    await expert.click()
    await expect(expert).to_have_attribute("aria-checked", "true")
    async with page.expect_request(f"{HOME}{CHAT}") as sent:
        await ask(page, "why is the sky blue")
    assert (await sent.value).resource_type == "xhr"
    record = await answered(replicas, "ds-page-reader")
    assert (record.refused, record.http) == (None, "2")
    asked = record.body
    assert (asked["thinking_enabled"], asked["search_enabled"], asked["model_type"]) == (True, True, "expert")
    answer = page.locator(ANSWER).last
    await expect(answer.locator("h1")).to_have_text("Sky")
    await expect(answer.locator("strong")).to_have_text("blue")
    await expect(answer.locator("a")).to_have_attribute("href", "https://b.example/2")
    await expect(answer.locator("li")).to_have_text(["a", "b"])
    await expect(answer.locator("td")).to_have_text(["1", "2"])
    await expect(answer.locator("code")).to_have_text("print(1 < 2)")
    await expect(answer.locator("annotation")).to_have_text("E=h\\nu")
    await expect(page.locator(THOUGHT)).to_have_text(re.compile(r"^已思考（用时 \d+ 秒）let me think\s*$"))
    await expect(page.locator(BUTTONS)).to_have_count(15)
    await expect(page.locator('[role="radiogroup"]')).to_have_count(0)
    assert page.url == f"{HOME}/a/chat/s/{asked['chat_session_id']}"
    await ask(page, "and at night?")
    second = await answered(replicas, "ds-page-reader", 2)
    assert (second.refused, second.body["parent_message_id"], second.body["model_type"]) == (None, 2, "expert")
    async with replicas.client("chat.deepseek.com") as client:
        again = {name: value for name, value in second.headers.items() if name != "content-length"}
        replayed = await client.post(CHAT, headers=again, json=second.body)
        assert refused(replayed)[1] == "INVALID_POW_RESPONSE", "the page's proof is good for one request only"
    await page.reload()
    await expect(page.locator(ANSWER)).to_have_count(2)
    await expect(page.locator(".ds-message:not(:has(.ds-assistant-message-main-content))")).to_have_text(
        ["why is the sky blue", "and at night?"]
    )
    await expect(page.locator(ANSWER).last.locator("h1")).to_have_text("Sky")
    await ask(page, "and in the morning?")
    third = await answered(replicas, "ds-page-reader", 4)
    assert (third.body["parent_message_id"], third.body["model_type"]) == (4, "expert")


async def test_the_sites_own_difficulty(replicas: Replicas, open_page: Open) -> None:
    await replicas.play("deepseek", "ds-page-miner", Scenario(options={"difficulty": 144_000}))
    page = await open_page("ds-page-miner")
    await ask(page, "hi")
    record = await answered(replicas, "ds-page-miner")
    assert (record.refused, record.status) == (None, 200)
    assert json.loads(base64.b64decode(record.headers["x-ds-pow-response"]))["answer"] >= 0


@pytest.mark.parametrize("chars", [20_000, 200_000])
async def test_a_long_prompt_arrives_exactly(replicas: Replicas, open_page: Open, chars: int) -> None:
    user = f"ds-page-writer-{chars}"
    prompt = Answer(chars=chars, seed=3).text()
    page = await open_page(user)
    await ask(page, prompt)
    assert (await answered(replicas, user)).body["prompt"] == prompt


async def test_enter_sends_and_its_letter_stays(replicas: Replicas, open_page: Open) -> None:
    page = await open_page("ds-page-typist")
    box = page.locator(BOX)
    await box.fill("one\n two ")
    tap = await page.context.new_cdp_session(page)
    for kind in ("rawKeyDown", "keyUp"):
        key = {"type": kind, "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
        await tap.send("Input.dispatchKeyEvent", key)
    assert (await answered(replicas, "ds-page-typist")).body["prompt"] == "one\n two "
    await expect(page.locator(BUTTONS)).to_have_count(15)
    await expect(box).to_have_value("")
    await box.fill("two")
    await box.press("Enter")  # with the letter that a person's key types
    assert (await answered(replicas, "ds-page-typist", 2)).body["prompt"] == "two"
    await expect(box).to_have_value("\n")
    await expect(page.locator(".ds-button--primary.ds-button--disabled")).to_be_visible()
    await box.press("Enter")
    await expect(box).to_have_value("\n\n")
    assert len(await replicas.records(account="ds-page-typist", operation="chat")) == 2


async def test_what_comes_before_hydration_is_lost(replicas: Replicas, open_page: Open) -> None:
    hour_ms = 3_600_000
    await replicas.play("deepseek", "ds-page-early", Scenario(hydrate_ms=hour_ms))
    page = await open_page("ds-page-early", "/sign_in")
    await page.clock.install()
    await page.goto(HOME)
    early, toggle = page.locator("textarea:not([placeholder])"), page.locator(".ds-toggle-button", has_text="深度思考")
    await early.fill("too early")
    await toggle.click()
    await page.clock.fast_forward(hour_ms)
    await expect(page.locator(BOX)).to_have_value("")
    await expect(toggle).to_have_attribute("aria-pressed", "false")
    await toggle.click()
    await expect(toggle).to_have_attribute("aria-pressed", "true")


async def test_a_long_answer_is_rendered_whole(replicas: Replicas, open_page: Open) -> None:
    text = "\n\n".join(f"Paragraph {index}: 短波散射 {index * index}." for index in range(2000))
    parts = [Piece(text=text[at : at + 97]) for at in range(0, len(text), 97)]
    await replicas.play("deepseek", "ds-page-long-reader", Scenario(answer=Answer(pieces=parts), cuts=1))
    page = await open_page("ds-page-long-reader")
    await ask(page, "go on")
    await answered(replicas, "ds-page-long-reader")
    await expect(page.locator(BUTTONS)).to_have_count(15, timeout=30_000)
    shown = await page.locator(ANSWER).evaluate("node => [...node.children].map((p) => p.textContent).join('\\n\\n')")
    assert shown == text


async def test_stop_ends_the_answer(replicas: Replicas, open_page: Open) -> None:
    await replicas.play("deepseek", "ds-page-stopper", Scenario(faults=[Fault(kind="stall", after=4, times=1)]))
    page = await open_page("ds-page-stopper")
    await ask(page, "hi")
    await expect(page.locator(ANSWER)).to_contain_text("Because short waves")
    await page.locator(BOX).fill("again")
    await page.locator(BOX).press("Enter")
    await expect(page.locator(".ds-notification-container")).to_contain_text("有消息正在生成")
    await page.locator(STOP).click()
    [stop] = await replicas.records(account="ds-page-stopper", operation="stop", state="finished", count=1)
    assert stop.refused is None
    await expect(page.locator(STOP)).to_have_count(0)
    await ask(page, "again")
    await expect(page.locator(ANSWER)).to_have_text(["Because short waves", "Because short waves scatter more."])
    turns = (await replicas.seen("deepseek", "ds-page-stopper")).conversations[0].turns
    assert [(turn.parent, turn.stopped) for turn in turns] == [("", True), ("2", False)]


async def test_again_and_on(replicas: Replicas, open_page: Open) -> None:
    await replicas.play("deepseek", "ds-page-more", Scenario(options={"incomplete_after": 3}))
    page = await open_page("ds-page-more")
    await ask(page, "hi")
    await page.get_by_role("button", name="继续生成").click()
    await expect(page.locator(BUTTONS)).to_have_count(15)
    await expect(page.locator(ANSWER)).to_have_text("Because short waves scatter more.")
    await replicas.play("deepseek", "ds-page-more", Scenario(answer=Answer(pieces=[Piece(text="Else.")])))
    await page.get_by_title("重新生成").click()
    await expect(page.locator(ANSWER)).to_have_text("Else.")
    turns = (await replicas.seen("deepseek", "ds-page-more")).conversations[0].turns
    assert [(turn.prompt, turn.answer, turn.again) for turn in turns] == [("hi", "2", False), ("hi", "3", True)]


async def test_a_new_chat_begins_empty_and_without_thoughts(replicas: Replicas, open_page: Open) -> None:
    page = await open_page("ds-page-changer")
    for name in ("深度思考", "智能搜索"):
        await page.locator(".ds-toggle-button", has_text=name).click()
    await ask(page, "one")
    await expect(page.locator(BUTTONS)).to_have_count(15)
    await page.get_by_text("新对话", exact=True).click()
    await expect(page.locator(".ds-markdown")).to_have_count(0)
    await expect(page.locator('[role="radiogroup"]')).to_be_visible()
    await expect(page.locator(".ds-toggle-button--selected")).to_have_text("智能搜索")
    assert page.url == f"{HOME}/"
    await ask(page, "two")
    await answered(replicas, "ds-page-changer", 2)
    talks = (await replicas.seen("deepseek", "ds-page-changer")).conversations
    assert [[(turn.prompt, turn.thinking, turn.search) for turn in talk.turns] for talk in talks] == [
        [("one", True, True)],
        [("two", False, True)],
    ]


async def test_old_turns_leave_the_document(replicas: Replicas, open_page: Open) -> None:
    await replicas.play("deepseek", "ds-page-talker", Scenario(answer=Answer(echo=True)))
    page = await open_page("ds-page-talker")
    for number in range(7):
        await ask(page, f"prompt {number}")
        await expect(page.locator(ANSWER).last).to_have_text(f"prompt {number}")
        await expect(page.locator(STOP)).to_have_count(0)
    await expect(page.locator(ANSWER)).to_have_count(5)
    await page.locator(ANSWER).first.hover()
    await page.locator(".ds-virtual-list").evaluate("list => (list.scrollTop = 0)")
    await page.mouse.wheel(0, -500)
    await expect(page.locator(ANSWER)).to_have_text([f"prompt {number}" for number in range(7)])


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(kind="status", status=429, times=1), "消息发送过于频繁，请稍后重试"),
        (Fault(kind="error", message="服务器繁忙，请稍后重试", times=1), "服务器繁忙，请稍后重试"),
        (Fault(kind="html", times=1), "服务器繁忙，请稍后重试"),
    ],
    ids=["too fast", "overloaded", "html"],
)
async def test_a_refused_send_is_a_toast_without_a_bubble(
    replicas: Replicas, open_page: Open, fault: Fault, words: str
) -> None:
    user = f"ds-page-refused-{fault.kind}"
    await replicas.play("deepseek", user, Scenario(faults=[fault]))
    page = await open_page(user)
    await ask(page, "hi")
    await expect(page.locator('.ds-notification-container [role="alert"]')).to_have_text(words)
    await expect(page.locator(".ds-message")).to_have_count(0)
    await ask(page, "hi")
    await expect(page.locator(ANSWER)).to_have_text("Because short waves scatter more.")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(kind="cut", after=4), "网络异常"),
        (Fault(kind="end", after=4), "服务器繁忙，请稍后重试"),
        (Fault(kind="failed", after=4), "服务器繁忙，请稍后重试"),
        (Fault(kind="error", after=4, message="出错了"), "出错了"),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
async def test_a_broken_answer_says_so_below(replicas: Replicas, open_page: Open, fault: Fault, words: str) -> None:
    user = f"ds-page-broken-{fault.kind}"
    await replicas.play("deepseek", user, Scenario(faults=[fault]))
    page = await open_page(user)
    await ask(page, "hi")
    await expect(page.locator(".ds-message + *").last).to_have_text(words)
    await replicas.play("deepseek", user, Scenario())
    await ask(page, "again")
    await expect(page.locator(ANSWER).last).to_have_text("Because short waves scatter more.")


async def test_a_refusal_replaces_the_answer(replicas: Replicas, open_page: Open) -> None:
    fault = Fault(kind="refusal", after=4, message="换个话题吧。")
    await replicas.play("deepseek", "ds-page-censored", Scenario(faults=[fault]))
    page = await open_page("ds-page-censored")
    await ask(page, "hi")
    await expect(page.locator(ANSWER)).to_have_text("换个话题吧。")
    await expect(page.locator(BUTTONS)).to_have_count(15)


async def test_limits_are_told(replicas: Replicas, open_page: Open) -> None:
    await replicas.play(
        "deepseek", "ds-page-long", Scenario(options={"input_character_limit": 50, "session_chars": 40})
    )
    page = await open_page("ds-page-long")
    await ask(page, "x" * 60)
    await expect(page.locator(".ds-notification-container")).to_have_text("内容超长约 20%，请删减后再试")
    await expect(page.locator(BOX)).to_have_value("x" * 60)
    await ask(page, "x" * 45)
    await expect(page.locator(".ds-message + *").last).to_have_text("达到对话长度上限，请开启新对话")
    assert len(await replicas.records(account="ds-page-long", operation="chat")) == 1


async def test_files_go_through_the_page(replicas: Replicas, open_page: Open) -> None:
    page = await open_page("ds-page-filer")
    data = "笔记\n".encode() * 1000
    await expect(page.locator(BOX)).to_be_visible()
    attach = page.locator('input[type="file"]')
    await attach.set_input_files({"name": "notes.txt", "mimeType": "text/plain", "buffer": data})
    await expect(page.locator('.file-card[data-status="done"]')).to_have_text("notes.txt")
    await ask(page, "read it")
    record = await answered(replicas, "ds-page-filer")
    assert (record.refused, len(record.body["ref_file_ids"])) == (None, 1)
    await page.get_by_text("新对话", exact=True).click()
    await page.locator('[role="radio"]', has_text="识图模式").click()
    await attach.set_input_files({"name": "dot.png", "mimeType": "image/png", "buffer": PNG})
    await expect(page.locator('img[src^="blob:"][data-status="done"]')).to_be_visible()
    await ask(page, "see")
    record = await answered(replicas, "ds-page-filer", 2)
    assert (record.refused, record.body["model_type"]) == (None, "vision")
    seen = await replicas.seen("deepseek", "ds-page-filer")
    assert [file.name for file in seen.files] == ["notes.txt", "dot.png"]
    assert [talk.turns[0].files for talk in seen.conversations] == [[file.sha256] for file in seen.files]


@pytest.mark.parametrize("login", ["dead", "banned", "guest", "none"])
async def test_without_a_login_there_is_the_wall(replicas: Replicas, open_page: Open, login: Any) -> None:
    user = f"ds-page-outside-{login}"
    if login == "none":
        page = await open_page(user, guest=True)
    else:
        await replicas.play("deepseek", user, Scenario(login=login))
        page = await open_page(user)
    await page.wait_for_url("**/sign_in")
    await expect(page.locator('input[type="password"]')).to_be_visible()
    await expect(page.get_by_text("密码登录")).to_be_visible()
    await expect(page.locator("textarea")).to_have_count(0)


async def test_a_login_that_dies_while_one_asks(replicas: Replicas, open_page: Open) -> None:
    page = await open_page("ds-page-dying")
    await expect(page.locator(BOX)).to_be_visible()
    await replicas.play("deepseek", "ds-page-dying", Scenario(login="dead"))
    await ask(page, "hi")
    await page.wait_for_url("**/sign_in")


async def test_challenge_and_layout_b(replicas: Replicas, open_page: Open) -> None:
    await replicas.play("deepseek", "ds-page-challenged", Scenario(challenge=True))
    await replicas.play("deepseek", "ds-page-asked", Scenario(faults=[Fault(kind="challenge")]))
    await replicas.play("deepseek", "ds-page-moved", Scenario(layout="B"))
    challenged = await open_page("ds-page-challenged")
    await expect(challenged.locator("#challenge-container")).to_be_visible()
    asked = await open_page("ds-page-asked")
    await ask(asked, "hi")
    await expect(asked.locator("#challenge-container")).to_be_visible()
    moved = await open_page("ds-page-moved")
    await expect(moved.locator("[data-hint]")).to_be_visible()
    named = 'textarea, [role], [aria-pressed], [aria-checked], [class*="ds-"]'
    assert await moved.locator(named).count() == 0
    box = moved.locator("[data-hint]")
    await box.fill("hi\nyou")
    await box.press("Enter")
    assert (await answered(replicas, "ds-page-moved")).body["prompt"] == "hi\nyou"
    await expect(moved.get_by_text("Because short waves scatter more.")).to_be_visible()
    assert await moved.locator(named).count() == 0
