"""The ChatGPT replica's page in a real browser: typing into ProseMirror, signing, answers that go on elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.replicas import Answer, Fault, Piece, Record, Replicas, Scenario
from tests.replicas import Page as Found
from tests.replicas.chatgpt import HOME, storage_state
from tests.replicas.chatgpt.calls import PICTURE
from tests.replicas.test_kimi_page import PASTE, browsing, long_prompt

BOX = '#prompt-textarea[contenteditable="true"]'
SEND = 'button[data-testid="send-button"]'
STOP = 'button[data-testid="stop-button"]'
ANSWER = '[data-message-author-role="assistant"] .markdown'
PROMPT = '[data-message-author-role="user"]'
COPY = 'button[data-testid="copy-turn-action-button"]'
PROFILE = '[data-testid="accounts-profile-button"]'
PICKER = "button:has([data-animated-slider-trigger])"

Open = Callable[..., Awaitable[Page]]


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
    return str(record.body["messages"][0]["content"]["parts"][-1])


@pytest.mark.parametrize("chars", [20_000, 200_000])
async def test_a_paste_event_fills_the_box_exactly(replicas: Replicas, open_page: Open, chars: int) -> None:
    user, prompt = f"gpt-page-paste-{chars}", long_prompt(chars)
    page = await open_page(user)
    await ask(page, prompt)
    record = await answered(replicas, user)
    assert record.refused is None
    assert prompt_of(record) == prompt


async def test_the_page_signs_and_shows_the_answer(replicas: Replicas, open_page: Open) -> None:
    pieces = [
        Piece(text="let me ", kind="reasoning"),
        Piece(text="think", kind="reasoning"),
        Piece(text="# Sky\n\nIt is **bl"),
        Piece(text="ue** 蓝：$E=h\\nu$.\n\n- a\n- b\n"),
        Piece(text="\n| x | y |\n|---|---|\n| 1 | 2 |\n\n```py\nprint(1 < 2)\n```\n"),
    ]
    options: dict[str, bool | int | float | str] = {"auto_thinks": True}
    scenario = Scenario(answer=Answer(pieces=pieces), shield=True, cuts=5, hydrate_ms=50, options=options)
    await replicas.play("chatgpt", "gpt-page-reader", scenario)
    page = await open_page("gpt-page-reader", long=True)
    await expect(page.locator(PROFILE)).to_have_text("gpt-page-reader")
    await ask(page, "why is the sky blue")
    record = await answered(replicas, "gpt-page-reader")
    assert record.refused is None
    answer = page.locator(ANSWER).last
    await expect(answer.locator("h1")).to_have_text("Sky")
    await expect(answer.locator("strong")).to_have_text("blue")
    await expect(answer.locator("li")).to_have_text(["a", "b"])
    await expect(answer.locator("td")).to_have_text(["1", "2"])
    await expect(answer.locator("code")).to_have_text("print(1 < 2)\n")
    await expect(answer.locator("annotation")).to_have_text("E=h\\nu")
    await expect(page.get_by_role("button", name="Thought for 7s")).to_be_visible()
    await expect(page.locator(STOP)).to_have_count(0)
    await expect(page.locator(COPY)).to_have_count(1)
    assert "let me think" not in await page.content(), "the full thoughts are only in the stream"
    await ask(page, "and at night?")
    second = await answered(replicas, "gpt-page-reader", 2)
    assert (second.refused, second.body["conversation_id"]) == (None, page.url.rpartition("/")[2])
    same = "openai-sentinel-chat-requirements-token"
    assert second.headers[same] == record.headers[same], "one token is good for minutes of text"
    assert second.headers["x-conduit-token"] != record.headers["x-conduit-token"]
    await expect(page.locator(COPY)).to_have_count(2)
    await page.reload()
    await expect(page.locator(PROMPT)).to_contain_text(["why is the sky blue", "and at night?"])
    await expect(page.locator(ANSWER)).to_have_count(2)
    [seen] = (await replicas.seen("chatgpt", "gpt-page-reader")).conversations
    assert [turn.parent for turn in seen.turns] == ["", seen.turns[0].answer]
    await ask(page, "once more")
    assert (await answered(replicas, "gpt-page-reader", 3)).refused is None


async def test_a_long_answer_is_rendered_whole(replicas: Replicas, open_page: Open) -> None:
    text = "\n\n".join(f"Paragraph {index}: 短波散射 {index * index}." for index in range(2000))
    parts = [Piece(text=text[at : at + 97]) for at in range(0, len(text), 97)]
    await replicas.play("chatgpt", "gpt-page-long-reader", Scenario(answer=Answer(pieces=parts), cuts=1))
    page = await open_page("gpt-page-long-reader")
    await ask(page, "go on")
    await expect(page.locator(COPY)).to_be_attached(timeout=60_000)
    shown = await page.locator(ANSWER).last.evaluate(
        "node => [...node.children].map((p) => p.textContent).join('\\n\\n')"
    )
    assert shown == text


async def test_the_fallback_box_only_reloads(replicas: Replicas, open_page: Open) -> None:
    await replicas.play("chatgpt", "gpt-page-hasty", Scenario(hydrate_ms=600_000))
    page = await open_page("gpt-page-hasty")
    await page.locator("textarea.fallbackTextarea").fill("hello")
    await page.locator('button[type="submit"]').click()
    await page.wait_for_url("**/?prompt-textarea=hello")
    assert await page.locator(BOX).count() == 0
    assert await replicas.records(account="gpt-page-hasty", operation="chat") == []


async def test_enter_sends_and_shift_enter_breaks_the_line(replicas: Replicas, open_page: Open) -> None:
    page = await open_page("gpt-page-typist")
    await expect(page.locator(PICKER)).to_be_visible()
    await page.locator(BOX).click()
    assert await page.locator(SEND).count() == 0, "nothing to send yet"
    await page.keyboard.type("one")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("two")
    await page.keyboard.press("Enter")
    assert prompt_of(await answered(replicas, "gpt-page-typist")) == "one\ntwo"


async def test_stop_is_the_site_s_own(replicas: Replicas, open_page: Open) -> None:
    await replicas.play("chatgpt", "gpt-page-stopper", Scenario(faults=[Fault(kind="stall", after=4, times=1)]))
    page = await open_page("gpt-page-stopper")
    await ask(page, "hi")
    await expect(page.locator(ANSWER).last).to_contain_text("Because short waves")
    await page.locator(STOP).click()
    await expect(page.locator(STOP)).to_have_count(0)
    [record] = await replicas.records(account="gpt-page-stopper", operation="stop", count=1)
    assert record.body["exclude_async_types"] == []
    await ask(page, "again")
    assert (await answered(replicas, "gpt-page-stopper", 2)).refused is None
    turns = (await replicas.seen("chatgpt", "gpt-page-stopper")).conversations[0].turns
    assert [turn.stopped for turn in turns] == [True, False]


async def test_a_refused_token_is_refreshed_once(replicas: Replicas, open_page: Open) -> None:
    await replicas.play("chatgpt", "gpt-page-rotor", Scenario(faults=[Fault(kind="status", status=401, times=1)]))
    page = await open_page("gpt-page-rotor")
    await ask(page, "hi")
    await answered(replicas, "gpt-page-rotor", 2)
    await expect(page.locator(ANSWER)).to_have_text("Because short waves scatter more.")
    statuses = [record.status for record in await replicas.records(account="gpt-page-rotor", operation="chat")]
    assert statuses == [401, 200]
    await replicas.play("chatgpt", "gpt-page-rotor", Scenario(login="dead"))
    await page.locator(BOX).click()
    await page.keyboard.type("are you there?")
    await expect(page.locator('[data-testid="login-button"]')).to_be_visible()
    await expect(page.locator(SEND)).to_have_count(0)


@pytest.mark.parametrize("way", ["resume", "ws", "poll", "ws-refused"])
async def test_the_page_follows_where_the_answer_goes(replicas: Replicas, open_page: Open, way: str) -> None:
    handoff, _, refused = way.partition("-")
    faults = [Fault(kind="status", on="socket", status=503)] if refused else []
    options: dict[str, bool | int | float | str] = {"handoff": handoff, "silence_s": 0.3, "auto_thinks": True}
    scenario = Scenario(options=options, faults=faults, cuts=3)
    await replicas.play("chatgpt", f"gpt-page-follower-{way}", scenario)
    page = await open_page(f"gpt-page-follower-{way}")
    for turn in (1, 2):
        await ask(page, "hi")
        await expect(page.locator(COPY)).to_have_count(turn)
        await expect(page.locator(ANSWER).last).to_have_text("Because short waves scatter more.")
    [seen] = (await replicas.seen("chatgpt", f"gpt-page-follower-{way}")).conversations
    assert [(turn.parent, turn.stopped) for turn in seen.turns] == [("", False), (seen.turns[0].answer, False)]
    operation = {"resume": "resume", "ws": "socket"}.get(way, "stream_status")
    assert len(await replicas.records(account=f"gpt-page-follower-{way}", operation=operation)) >= 2


@pytest.mark.parametrize("after", ["resumable", "persisted", "lost"])
async def test_the_page_mends_a_break_if_it_can(replicas: Replicas, open_page: Open, after: str) -> None:
    user = f"gpt-page-mender-{after}"
    # A torn connection takes with it what the page has not read yet; the id of the conversation it has read by then.
    broken = Fault(kind="end", after=2) if after == "lost" else Fault(kind="cut", after=2)
    faults = [broken.model_copy(update={"times": 1}), Fault(kind="status", on="resume", status=502, times=1)]
    pieces = [Piece(text="Because", after_ms=500), Piece(text=" short waves"), Piece(text=" scatter more.")]
    scenario = Scenario(answer=Answer(pieces=pieces), faults=faults, options={"after_break": after})
    await replicas.play("chatgpt", user, scenario)
    page = await open_page(user)
    await ask(page, "hi")
    await expect(page.locator(COPY)).to_be_visible()
    whole = "Because short waves" if after == "lost" else "Because short waves scatter more."
    await expect(page.locator(ANSWER)).to_have_text(whole)
    await expect(page.locator('[role="alert"]')).to_have_count(1 if after == "lost" else 0)


async def test_the_page_comes_back_after_a_long_silence(replicas: Replicas, open_page: Open) -> None:
    await replicas.play("chatgpt", "gpt-page-silent", Scenario(faults=[Fault(kind="stall", after=4)]))
    page = await open_page("gpt-page-silent")
    await expect(page.locator(PICKER)).to_be_visible()
    await page.clock.install()
    await ask(page, "hi")
    await expect(page.locator(ANSWER)).to_have_text("Because short waves")
    await page.clock.fast_forward(61_000)
    [resumed] = await replicas.records(account="gpt-page-silent", operation="resume", count=1)
    assert resumed.body["offset"] > 0
    await replicas.records(account="gpt-page-silent", operation="chat", state="aborted", count=1)
    assert not (await replicas.seen("chatgpt", "gpt-page-silent")).conversations[0].turns[0].stopped
    await page.locator(STOP).click()
    await expect(page.locator(STOP)).to_have_count(0)
    await expect(page.locator(ANSWER)).to_have_text("Because short waves")


async def test_a_reload_goes_on_with_the_answer(replicas: Replicas, open_page: Open) -> None:
    pieces = [Piece(text="Because"), Piece(text=" short waves", after_ms=1500)]
    await replicas.play("chatgpt", "gpt-page-reloader", Scenario(answer=Answer(pieces=pieces)))
    page = await open_page("gpt-page-reloader")
    await ask(page, "hi")
    await expect(page.locator(ANSWER)).to_have_text("Because")
    await page.reload()
    await expect(page.locator(ANSWER)).to_have_text("Because short waves")
    await expect(page.locator(PROMPT)).to_have_count(1)


async def test_files_and_pictures_go_through_the_page(replicas: Replicas, open_page: Open) -> None:
    page, text = await open_page("gpt-page-filer"), "笔记\n".encode() * 1000
    await expect(page.locator(PICKER)).to_be_visible()
    notes = {"name": "notes.txt", "mimeType": "text/plain", "buffer": text}
    picture = {"name": "p.png", "mimeType": "image/png", "buffer": PICTURE}
    await page.locator("input#upload-files").set_input_files(notes)  # type: ignore[arg-type]
    await page.locator('input[data-testid="upload-photos-input"]').set_input_files(picture)  # type: ignore[arg-type]
    await expect(page.locator('.file-card[data-status="done"]')).to_have_text(["notes.txt", "p.png"])
    await ask(page, "read them")
    assert (await answered(replicas, "gpt-page-filer")).refused is None
    [seen] = (await replicas.seen("chatgpt", "gpt-page-filer")).conversations
    assert seen.turns[0].files == [hashlib.sha256(data).hexdigest() for data in (text, PICTURE)]
    async with page.expect_file_chooser():
        await page.get_by_role("button", name="Add files and more").click()
        await page.get_by_role("menuitem", name="Add photos & files").click()


@pytest.mark.parametrize("later", [False, True])
async def test_searches_and_pictures_are_shown(replicas: Replicas, open_page: Open, later: bool) -> None:
    user = f"gpt-page-painter-{later}"
    pieces = [
        Piece(kind="search", text="sky", pages=[Found(url="https://a.example/x", title="A page")]),
        Piece(text="Waves"),
        Piece(kind="cite"),
        Piece(text=" scatter."),
        Piece(kind="media", data=base64.b64encode(PICTURE).decode()),
    ]
    options: dict[str, bool | int | float | str] = {"async_images": True} if later else {}
    await replicas.play("chatgpt", user, Scenario(answer=Answer(pieces=pieces), options=options))
    page = await open_page(user)
    await page.get_by_role("button", name="Add files and more").click()
    await page.get_by_role("menuitemradio", name="Create image").click()
    for turn in (1, 2):
        await ask(page, "draw")
        record = await answered(replicas, user, turn)
        assert (record.refused, record.body["system_hints"]) == (None, ["picture_v2"])
        await expect(page.locator(COPY)).to_have_count(turn)
    image = page.locator('.group\\/imagegen-image img[alt="Generated image"]').last
    await expect(image).to_have_js_property("naturalWidth", 3)
    await expect(page.locator(ANSWER).last).to_have_text("WavesA page scatter.")
    link = page.locator('[data-testid="webpage-citation-pill"] a').last
    await expect(link).to_have_attribute("href", "https://a.example/x")


async def test_pickers_choose_model_effort_and_tools(replicas: Replicas, open_page: Open) -> None:
    page = await open_page("gpt-page-chooser")
    content = page.locator('[data-testid="composer-intelligence-picker-content"]')
    await page.locator(PICKER).click()
    await content.get_by_role("menuitemradio", name="High").click()
    await ask(page, "think")
    first = (await answered(replicas, "gpt-page-chooser")).body
    assert (first["model"], first["thinking_effort"]) == ("gpt-5-6-thinking", "extended")
    await page.locator(PICKER).click()
    await content.locator('[role="menuitem"][data-has-submenu]').first.click()
    await content.get_by_role("menuitemradio", name="GPT-5.3").click()
    await page.get_by_role("button", name="Add files and more").click()
    await page.get_by_role("menuitemradio", name="Web search").click()
    await ask(page, "search")
    second = (await answered(replicas, "gpt-page-chooser", 2)).body
    assert (second["model"], second.get("thinking_effort"), second["system_hints"]) == ("gpt-5-3", None, ["search"])


async def test_temporary_chats_and_custom_gpts(replicas: Replicas, open_page: Open) -> None:
    page = await open_page("gpt-page-passing")
    await page.locator("#conversation-header-actions button").click()
    await page.wait_for_url("**/?temporary-chat=true")
    for _ in range(2):
        await ask(page, "hi")
        await expect(page.locator(STOP)).to_have_count(0)
    await answered(replicas, "gpt-page-passing", 2)
    assert page.url.endswith("/?temporary-chat=true")
    custom = await open_page("gpt-page-passing", "/g/g-abc123-some-helper")
    await ask(custom, "hi")
    await custom.wait_for_url("**/g/g-abc123/c/*")
    passing, helper = (await replicas.seen("chatgpt", "gpt-page-passing")).conversations
    assert (passing.temporary, len(passing.turns)) == (True, 2)
    assert (helper.temporary, helper.turns[0].agent) == (False, "g-abc123")


async def test_edit_and_regenerate(replicas: Replicas, open_page: Open) -> None:
    await replicas.play("chatgpt", "gpt-page-editor", Scenario(answer=Answer(echo=True)))
    page = await open_page("gpt-page-editor")
    await ask(page, "one")
    await expect(page.locator(COPY)).to_be_visible()
    await page.reload()
    await page.get_by_role("button", name="Try again").click()
    await answered(replicas, "gpt-page-editor", 2)
    await expect(page.locator(COPY)).to_have_count(1)
    await page.get_by_role("button", name="Edit message").click()
    await expect(page.locator(BOX)).to_have_text("one")
    await page.locator(BOX).press("End")
    await page.keyboard.type(" more")
    await page.locator(SEND).click()
    await expect(page.locator(ANSWER)).to_have_text(["one more"])
    turns = (await replicas.seen("chatgpt", "gpt-page-editor")).conversations[0].turns
    assert [(turn.prompt, turn.again, turn.parent) for turn in turns] == [
        ("one", False, ""),
        ("one", True, ""),
        ("one more", False, ""),
    ]


async def test_refusals_are_alerts(replicas: Replicas, open_page: Open) -> None:
    faults = [
        Fault(kind="status", status=429, message="You hit the limit.", times=1),
        Fault(kind="refusal", after=4, times=1),
        Fault(kind="error", after=4, message="overloaded", times=1),
        Fault(kind="html", times=1),
    ]
    await replicas.play("chatgpt", "gpt-page-limited", Scenario(faults=faults))
    page = await open_page("gpt-page-limited")
    for told in ("You hit the limit.", "This content may violate", "overloaded", "no answer came"):
        await ask(page, "hi")
        await expect(page.locator('[role="alert"]').last).to_contain_text(told)
        await expect(page.locator(STOP)).to_have_count(0)


async def test_guest_challenge_and_layout_b(replicas: Replicas, open_page: Open) -> None:
    await replicas.play("chatgpt", "gpt-page-challenged", Scenario(challenge=True))
    await replicas.play("chatgpt", "gpt-page-moved", Scenario(layout="B"))
    guest = await open_page("gpt-page-visitor", guest=True)
    await expect(guest.locator('[data-testid="login-button"]')).to_be_visible()
    await ask(guest, "hi")
    await expect(guest.locator(ANSWER)).to_have_text("Because short waves scatter more.")
    assert (await answered(replicas, "gpt-page-visitor")).path == "/backend-anon/f/conversation"
    challenged = await open_page("gpt-page-challenged")
    assert await challenged.title() == "Just a moment..."
    moved = await open_page("gpt-page-moved")
    await expect(moved.locator(".ProseMirror[contenteditable]")).to_be_visible()
    await moved.locator(".ProseMirror").click()
    await moved.keyboard.type("hi")
    await expect(moved.locator('[data-kind="send"]')).to_be_visible()  # it takes no Enter before it can send
    await moved.keyboard.press("Enter")
    await answered(replicas, "gpt-page-moved")
    await expect(moved.get_by_text("Because short waves scatter more.")).to_be_visible()
    assert await moved.locator(f"{BOX}, {SEND}, {COPY}, {PROFILE}, {ANSWER}, .markdown, form[data-type]").count() == 0
