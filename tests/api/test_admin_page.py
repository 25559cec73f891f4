"""The admin page in a real browser, at a desktop and on a phone."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, Request, async_playwright, expect

from relay.api.admin_login import AdminLogin
from relay.browser.executable import find
from relay.chat.events import Quota
from relay.pool.face import AccountStatus
from relay.settings import Settings
from tests.api.conftest import Served
from tests.api.test_keys import Clock

pytestmark = pytest.mark.asyncio(loop_scope="module")
PASSWORD = "correct horse"


def every_state(now_s: float) -> tuple[AccountStatus, ...]:
    """An account in each state that there is; `now_s` in Unix seconds."""
    return (
        AccountStatus("demo", "fresh", "new"),
        AccountStatus(
            "demo",
            "default",
            "ready",
            label="anna@example.org",
            tabs=2,
            quotas=(Quota("5h", 0.124, now_s + 7300), Quota("7d")),
        ),
        AccountStatus("demo", "working", "busy", chats=2, tabs=2),
        AccountStatus("demo", "limited", "cooling", "HTTP 429", reason="rate_limited", until=now_s + 754),
        AccountStatus("kimi", "down", "cooling", "The site answered HTTP 502.", reason="site_down", until=now_s + 30),
        AccountStatus("kimi", "old", "login_needed", "HTTP 401", reason="expired", since=now_s - 7400, label="+86 138"),
        AccountStatus("kimi", "nobody", "login_needed", "The page shows a guest.", reason="guest", since=now_s - 50),
        AccountStatus("kimi", "asked", "challenged", "A captcha is shown.", reason="challenge", since=now_s - 300_000),
        AccountStatus(
            "kimi", "closed", "broken", "The site: <b>your account</b> is suspended.", reason="banned", since=now_s
        ),
        AccountStatus("gradio", "torn", "broken", "state.json is no JSON.", reason="damaged", since=now_s - 90),
        AccountStatus("gradio", "resting", "disabled", "parked by its owner", reason="parked"),
        AccountStatus("gradio", "off", "disabled", "disabled in account.toml", reason="disabled"),
        AccountStatus("gradio", "away", "broken", "Another process (pid 12) has it open.", reason="elsewhere"),
        AccountStatus("gradio", "given", "disabled", "its owner is logging in", reason="lent"),
    )


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    server = Served(admin_password=PASSWORD)
    yield server
    server.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
        executable = find(Settings(_env_file=None).browser.executable, own, "shell")
        browser = await playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def pages(served: Served, browser: Browser) -> AsyncIterator[Any]:
    """`await pages(width, height)` in a browser; no page of it may log an error or ask anybody else."""
    served.pool.accounts.clear()
    served.pool.accounts.update({account.name: account for account in every_state(time.time())})
    served.pool.owner.calls.clear()
    served.app.state.admin_login = AdminLogin(served.settings)
    wrong: list[str] = []
    contexts: list[BrowserContext] = []

    def note(sent: Request) -> None:
        if not sent.url.startswith(served.url):
            wrong.append(sent.url)

    async def open_page(width: int = 1280, height: int = 800) -> Page:
        context = await browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        page = await context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if "Content Security" in said.text else None)
        context.on("request", note)
        await page.goto(f"{served.url}/admin")
        return page

    yield open_page
    for context in contexts:
        await context.close()
    assert wrong == []


async def enter(page: Page) -> None:
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await expect(page.locator("#accounts")).to_be_visible()


def line(page: Page, name: str) -> Any:
    return page.locator(f'#accounts tr[data-account="{name}"]')


def card(page: Page, name: str) -> Any:
    return page.locator(f'#needed li[data-account="{name}"]')


async def test_nothing_is_shown_without_the_password(pages: Any, served: Served) -> None:
    page: Page = await pages()
    await expect(page.get_by_label("Password")).to_be_focused()
    assert "demo/" not in await page.content()
    await page.get_by_label("Password").fill("guess")
    await page.keyboard.press("Enter")
    await expect(page.locator("#login-error")).to_have_text("That is not the password of the admin page.")
    await expect(page.locator("main")).to_be_hidden()
    await enter(page)
    await page.reload()
    await expect(page.locator("#accounts")).to_be_visible()
    assert await page.evaluate("document.cookie + JSON.stringify({...localStorage, ...sessionStorage})") == "{}"
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_label("Password")).to_be_visible()
    assert "demo/" not in await page.content()
    await page.reload()
    await expect(page.get_by_label("Password")).to_be_visible()


async def test_guessing_is_slowed_down(pages: Any, served: Served) -> None:
    page: Page = await pages()
    for _ in range(6):
        await page.get_by_label("Password").fill("guess")
        await page.keyboard.press("Enter")
        await expect(page.locator("#login-error")).not_to_be_empty()
    await expect(page.locator("#login-error")).to_have_text(
        re.compile(r"Too many wrong passwords: try again in \d+ s\.")
    )


async def test_every_state(pages: Any, served: Served) -> None:
    page: Page = await pages()
    await enter(page)
    for account in tuple(served.pool.accounts.values()):
        shown = card(page, account.name) if account.since is not None else line(page, account.name)
        await expect(shown).to_have_count(1)
        await expect(shown.locator(".state")).to_have_text(account.state.replace("_", " "))
        await expect(shown).to_contain_text(account.why)
    needed = await page.locator("#needed li").evaluate_all("items => items.map(item => item.dataset.account)")
    assert sorted(needed) == ["gradio/torn", "kimi/asked", "kimi/closed", "kimi/nobody", "kimi/old"]
    await expect(card(page, "kimi/asked")).to_contain_text("a challenge that only you may solve")
    await expect(card(page, "kimi/asked").locator("time")).to_have_text("for 3 d")
    await expect(line(page, "demo/limited").locator("time")).to_have_text(re.compile(r"back in 1[12] min"))
    await expect(line(page, "demo/default")).to_contain_text("anna@example.org")
    limits = line(page, "demo/default").locator('td[data-heading="State"] small')
    await expect(limits).to_have_text(["5h 12%, anew in 2 h", "7d ?"])
    await expect(page.locator("#summary")).to_have_text("0 answering, 0 waiting")
    await expect(page.locator("#models")).to_contain_text("demo/echo")
    for name, offered in {
        "demo/default": ["log in", "check", "park", "remove"],
        "gradio/resting": ["log in", "resume", "remove"],
        "gradio/away": [],
        "gradio/given": ["take back", "remove"],
    }.items():
        assert await line(page, name).get_by_role("button").all_inner_texts() == offered


async def test_buttons(pages: Any, served: Served) -> None:
    page: Page = await pages()
    await enter(page)
    calls = served.pool.owner.calls
    await line(page, "demo/default").get_by_role("button", name="park").click()
    await expect(line(page, "demo/default").locator(".state")).to_have_text("disabled")
    await line(page, "demo/default").get_by_role("button", name="resume").click()
    await expect(line(page, "demo/default").locator(".state")).to_have_text("ready")
    await card(page, "kimi/closed").get_by_role("button", name="resume").click()
    await expect(line(page, "kimi/closed").locator(".state")).to_have_text("ready")
    assert calls == [("park", "demo/default"), ("resume", "demo/default"), ("resume", "kimi/closed")]
    # while it is done, it says so, and cannot be asked for twice
    served.pool.owner.gate.clear()
    try:
        await line(page, "demo/default").get_by_role("button", name="check").click()
        await expect(line(page, "demo/default").locator(".doing")).to_have_text("check…")
        await expect(line(page, "demo/default").get_by_role("button", name="check")).to_be_disabled()
    finally:
        served.pool.owner.gate.set()
    await expect(line(page, "demo/default").get_by_role("button", name="check")).to_be_enabled()
    assert calls[3:] == [("check", "demo/default")]


async def test_what_fails_is_said(pages: Any, served: Served) -> None:
    served.pool.accounts["demo/faulty"] = AccountStatus("demo", "faulty", "ready")
    page: Page = await pages()
    await enter(page)
    await line(page, "demo/faulty").get_by_role("button", name="check").click()
    await expect(page.get_by_role("alert").first).to_have_text("demo/faulty, check: demo/faulty could not be checked.")


async def test_removing_asks_first(pages: Any, served: Served) -> None:
    page: Page = await pages()
    await enter(page)
    await line(page, "demo/default").get_by_role("button", name="remove").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Remove demo/default?")
    await page.keyboard.press("Enter")  # the harmless one has the focus
    await expect(dialog).to_be_hidden()
    await line(page, "demo/default").get_by_role("button", name="remove").click()
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(line(page, "demo/default").get_by_role("button", name="remove")).to_be_enabled()
    assert served.pool.owner.calls == []
    await line(page, "demo/default").get_by_role("button", name="remove").click()
    await dialog.get_by_role("button", name="Remove").click()
    await expect(line(page, "demo/default")).to_have_count(0)
    assert served.pool.owner.calls == [("remove", "demo/default")]


async def test_logging_in_opens_the_address_in_a_tab_of_its_own(pages: Any, served: Served) -> None:
    page: Page = await pages()
    await enter(page)
    async with page.context.expect_page() as opened:
        await card(page, "kimi/old").get_by_role("button", name="log in").click()
    tab = await opened.value
    await tab.wait_for_url(f"{served.url}/login/s3cret")
    assert await tab.evaluate("window.opener") is None


async def test_a_login_that_is_not_to_be_had_leaves_no_tab(pages: Any, served: Served) -> None:
    page: Page = await pages()
    await enter(page)
    removed = line(page, "demo/default").get_by_role("button", name="log in")
    await page.route("**/admin/api/accounts", lambda route: route.abort())  # it is not shown any fresher
    served.pool.accounts.pop("demo/default")
    async with page.context.expect_page() as opened:
        await removed.click()
    tab = await opened.value
    if not tab.is_closed():
        await tab.wait_for_event("close")
    await expect(page.locator("#message")).to_have_text(re.compile("There is no account|cannot be reached"))


async def test_an_expired_session_asks_for_the_password_again(pages: Any, served: Served) -> None:
    clock = Clock()
    served.app.state.admin_login = AdminLogin(served.settings, clock)
    page: Page = await pages()
    await enter(page)
    clock.now_s += 90_000
    await line(page, "demo/default").get_by_role("button", name="park").click()
    await expect(page.get_by_label("Password")).to_be_visible()
    assert served.pool.owner.calls == []
    await enter(page)


async def test_a_phone(pages: Any, served: Served) -> None:
    page: Page = await pages(390, 844)
    await enter(page)
    await expect(line(page, "demo/limited")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing to scroll sideways"
    await line(page, "demo/default").get_by_role("button", name="park").click()
    await expect(line(page, "demo/default").locator(".state")).to_have_text("disabled")


async def test_focus_stays_over_refreshes(pages: Any, served: Served) -> None:
    page: Page = await pages()
    await enter(page)
    button = line(page, "demo/default").get_by_role("button", name="check")
    await button.focus()
    served.pool.accounts["demo/fresh"] = AccountStatus("demo", "fresh", "busy", chats=1)
    await expect(line(page, "demo/fresh").locator(".state")).to_have_text("busy")
    await expect(button).to_be_focused()
