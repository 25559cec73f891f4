"""Open WebUI: a chat UI, by /v1/chat/completions; used in a real browser, as a person would."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from playwright.sync_api import Page, expect, sync_playwright

from relay.browser.executable import find
from relay.settings import Settings
from tests.clients.programs.place import Place, python_programs
from tests.e2e.relay_server import Process

START_S = 120
POLL_S = 0.2
LONG_MS = 60_000
NOTE = "written by Open WebUI"
PROMPT = f'Use write_note with title: "Proof", content: "{NOTE}".'
TITLE = "Use write note with title"
SETTINGS = {
    "ENABLE_OLLAMA_API": "false",
    "RAG_EMBEDDING_ENGINE": "openai",
    # What it would fetch from elsewhere.
    "OFFLINE_MODE": "true",
    "USE_SLIM_DOCKER": "true",
    "ANONYMIZED_TELEMETRY": "false",
}


def install() -> Path:
    """The program."""
    return python_programs("open-webui") / "open-webui"


def version(program: Path) -> tuple[str | Path, ...]:
    """Prints its version, for which the program has no option."""
    return program.with_name("python"), "-c", "from importlib.metadata import version; print(version('open-webui'))"


def use(program: Path, place: Place) -> str:
    """Two messages of a new user: one that the model answers by a tool of Open WebUI's, one that it answers in text."""
    with serving(program, place) as url, browsing() as page:
        sign_up(page, url)
        page.locator("button[id^=model-selector-]").click()
        page.get_by_role("option", name="Select demo model", exact=True).click()
        say(page, PROMPT)
        answers = page.locator("#response-content-container")
        expect(answers.first).to_contain_text("The tools say: write_note: ")
        expect(page.locator("#sidebar-chat-group").first).to_contain_text(TITLE)
        say(page, "Hello!")
        expect(answers.nth(1).get_by_role("heading", name="In short")).to_be_visible()
        expect(answers.nth(1).get_by_role("row", name="Model no yes")).to_be_visible()
        page.goto(f"{url}/notes")
        expect(page.get_by_text("Proof", exact=True).first).to_be_visible()
    chats = [each for each in place.gather() if each.path == "/v1/chat/completions"]
    streamed = [each for each in chats if each.content_type == "text/event-stream"]
    assert any(each.request["messages"][-1]["role"] == "tool" for each in streamed), "no result was sent"
    assert len(chats) > len(streamed), "no title was asked for"
    return (
        "in Chromium: signed up, chose a model, ran a tool that it called, showed both streamed answers and the title"
    )


@contextmanager
def serving(program: Path, place: Place) -> Iterator[str]:
    """Open WebUI's own server, up; its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = place.environment(
        DATA_DIR=str(place.home / "data"),
        WEBUI_SECRET_KEY="none",
        OPENAI_API_BASE_URL=place.url,
        OPENAI_API_KEY="none",
        **SETTINGS,
    )
    command = [str(program), "serve", "--host", "127.0.0.1", "--port", str(port)]
    process = Process(command, cwd=place.project, env=environment)
    try:
        url = f"http://127.0.0.1:{port}"
        await_health(url, process)
        yield url
    finally:
        process.end()


def await_health(url: str, process: Process) -> None:
    """Until it answers: it says nowhere that it does. Raises AssertionError with what it has said instead."""
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        try:
            if httpx.get(f"{url}/health", trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(POLL_S)
    raise AssertionError(f"Open WebUI did not start: {process.output[-4000:]}")


@contextmanager
def browsing() -> Iterator[Page]:
    """A page in Chromium, the one that relay would take."""
    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
        executable = find(Settings(_env_file=None).browser.executable, own, "shell")
        browser = playwright.chromium.launch(executable_path=executable, chromium_sandbox=os.geteuid() != 0)
        page = browser.new_page(viewport={"width": 1280, "height": 800}, locale="en-US")
        page.set_default_timeout(LONG_MS)
        expect.set_options(timeout=LONG_MS)
        yield page
        browser.close()


def sign_up(page: Page, url: str) -> None:
    """Become the first user, who is the administrator."""
    news = page.get_by_role("button", name="Okay, Let's Go!")
    page.add_locator_handler(news, lambda button: button.click())
    page.goto(url)
    page.get_by_role("button", name="Get started").click()
    page.locator("#name").fill("Jane")
    page.locator("#email").fill("jane@example.com")
    page.locator("#password").fill("correct horse")
    page.get_by_role("button", name="Create Admin Account").click()


def say(page: Page, text: str) -> None:
    """Send a message."""
    page.locator("#chat-input").fill(text)
    page.locator("#send-message-button").click()
