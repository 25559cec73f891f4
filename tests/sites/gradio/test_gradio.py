"""The gradio site against the real Gradio 6, 5 and 4, driver by driver."""

from __future__ import annotations

import hashlib
import inspect
import json
import random
from collections.abc import Iterable
from contextlib import aclosing

import pytest

from relay.browser.chromium import Chromium
from relay.chat.events import Event, Finished, Media, Progress, Reasoning, Text
from relay.chat.request import Attachment, Turn
from relay.errors import BadRequest, LoginNeeded, RateLimited, SiteChanged, SiteError
from relay.sites.base import LoginState
from relay.sites.drivers import run
from relay.sites.gradio.site import Gradio

from .conftest import Apps, OpenTab

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120, func_only=True)]

FETCH = ("fetch:queue", "fetch:call")
NASTY = (
    " \t\n\n  leading blanks, 中文段落，表情 👩🏽‍🚀🇨🇳, e\u0301, \u200b, \ufeff, \x7f and \u2028 inside\r\n"
    "    indented\n\ttab\n```python\nprint('<b>&amp;\\n</b>')\n```\n| a | b |\n|---|---|\n| 1 | `x` |\n"
    '$$\\frac{1}{2}$$ "quotes" data: [DONE]\n\ndata: {"msg":"close_stream"}\n\n  trailing blanks \n\t \n\n'
)
TIDY = (
    "First line, 中文 👩🏽‍🚀 and e\u0301 \u200b.\n\nSecond paragraph.\n"
    "```python\ndef f(x):\n    return '<b>&amp;\\n</b>'\n```\n"
    "| a | b |\n|---|---|\n| 1 | `x` |\n\n- one\n  - nested\n- two\n\n$$\\frac{1}{2}$$ data: [DONE]\n\nThe   end."
)
"""Text that Gradio's Chatbot leaves alone, at every cut."""


async def events(site: Gradio, driver: str, open_tab: OpenTab, prompt: str, **turn: object) -> list[Event]:
    """All events of a turn but the mere signs of life."""
    tab = await open_tab(site)
    asked = Turn(prompt, str(turn.pop("model", "")), **turn)  # type: ignore[arg-type]
    return [event async for event in run(site, driver, tab, asked) if not isinstance(event, Progress)]


def text_of(found: Iterable[Event]) -> str:
    return "".join(event.text for event in found if isinstance(event, Text))


def cuts(text: str, count: int, seed: int) -> list[int]:
    return sorted(random.Random(seed).sample(range(1, len(text)), count))


@pytest.mark.parametrize("driver", FETCH)
async def test_text_is_exact(apps: Apps, open_tab: OpenTab, driver: str) -> None:
    prompt = apps.script("nasty", NASTY, cuts(NASTY, 40, seed=len(driver)))
    found = await events(apps.site("text"), driver, open_tab, prompt)
    assert text_of(found) == NASTY
    assert found[-1] == Finished("stop")
    assert sum(isinstance(event, Text) for event in found) > 10, "it was not streamed"


@pytest.mark.parametrize("driver", FETCH)
async def test_a_megabyte_is_exact(apps: Apps, open_tab: OpenTab, driver: str) -> None:
    text = "".join(random.Random(7).choices("abc  \n\t中文👩🏽`|", k=600_000))
    prompt = apps.script("long", text, cuts(text, 12, seed=3))
    assert len(text.encode()) > 1_000_000
    assert text_of(await events(apps.site("text"), driver, open_tab, prompt)) == text


async def test_prompt_arrives_exactly(apps: Apps, open_tab: OpenTab) -> None:
    for driver in FETCH:
        await events(apps.site("text"), driver, open_tab, NASTY)
        assert apps.received("text")[-1]["text"] == NASTY


async def test_screen_reads_the_pages_traffic(apps: Apps, open_tab: OpenTab) -> None:
    site = apps.site("text")
    found = await events(site, "screen", open_tab, apps.script("tidy", TIDY, cuts(TIDY, 30, seed=5)))
    assert text_of(found) == TIDY
    assert sum(isinstance(event, Text) for event in found) > 5, "it was not streamed"


async def test_screen_text_is_what_gradio_makes_of_it(apps: Apps, open_tab: OpenTab) -> None:
    # Gradio's Chatbot passes messages through cleandoc: the named exception of everything read from one.
    found = await events(apps.site("text"), "screen", open_tab, apps.script("plain", NASTY, []))
    assert text_of(found) == inspect.cleandoc(NASTY)


async def test_dom_reads_the_page(apps: Apps, open_tab: OpenTab) -> None:
    text = "# Title\n\nA *paragraph* with `code`.\n\n- one\n- two"
    found = await events(apps.site("text"), "dom", open_tab, apps.script("page", text, [5, 20]))
    assert text_of(found) == text
    assert found[-1] == Finished("stop")


@pytest.mark.parametrize("driver", [*FETCH, "screen"])
async def test_files_arrive(apps: Apps, open_tab: OpenTab, driver: str) -> None:
    data = random.Random(1).randbytes(300_000)
    files = (Attachment("bytes ü.bin", "application/octet-stream", data), Attachment("a.txt", "text/plain", b"\r\n"))
    found = await events(apps.site("multimodal"), driver, open_tab, "look", attachments=files)
    lines = text_of(found).split("\n")
    assert lines[0] == "look"
    assert [line.split(" ")[-2:] for line in lines[1:]] == [
        [str(len(file.data)), hashlib.sha256(file.data).hexdigest()] for file in files
    ]


async def test_files_are_refused_where_the_app_takes_none(apps: Apps, open_tab: OpenTab) -> None:
    with pytest.raises(BadRequest, match="takes no files"):
        await events(
            apps.site("text"), "fetch:queue", open_tab, "x", attachments=(Attachment("a", "text/plain", b"a"),)
        )


@pytest.mark.parametrize("driver", [*FETCH, "screen"])
async def test_reasoning_and_pictures(apps: Apps, open_tab: OpenTab, driver: str) -> None:
    if apps.major == 4:
        pytest.skip("Gradio 4 has no thinking bubbles")
    site = apps.site("thinking")
    # The second time the queue is asked for whole values, having seen that the app yields objects.
    for _ in range(2):
        found = await events(site, driver, open_tab, "picture")
        assert "".join(event.text for event in found if isinstance(event, Reasoning)) == "Let me see ..."
        assert text_of(found) == "The answer is **42**."
        (picture,) = (event for event in found if isinstance(event, Media))
        assert picture.kind == "image" and picture.url.endswith("pixel.gif")
        tab = await open_tab(site)
        assert (await tab.fetch("GET", picture.url)).body.startswith(b"GIF89a")


@pytest.mark.parametrize("driver", [*FETCH, "screen"])
async def test_errors_of_the_app(apps: Apps, open_tab: OpenTab, driver: str) -> None:
    said = driver != "fetch:call" or apps.major == 6  # /call of 4 and 5 never says why
    with pytest.raises(SiteError, match="weights are on fire" if said else "does not say why"):
        await events(apps.site("text"), driver, open_tab, "error:shown")
    if said:
        with pytest.raises(RateLimited, match="GPU quota"):
            await events(apps.site("text"), driver, open_tab, "error:quota")


async def test_hidden_errors(apps: Apps, open_tab: OpenTab) -> None:
    with pytest.raises(SiteError, match="does not say why"):
        await events(apps.site("plain"), "fetch:queue", open_tab, "error:hidden")


@pytest.mark.parametrize("driver", [*FETCH, "screen"])
async def test_leaving_stops_the_app(apps: Apps, open_tab: OpenTab, driver: str) -> None:
    site = apps.site("text")
    tab = await open_tab(site)
    before = len(apps.received("text", "stopped"))
    async with aclosing(run(site, driver, tab, Turn("endless", ""))) as answer:
        async for event in answer:
            if isinstance(event, Text):
                break
    apps.wait_for("text", "stopped", before + 1)
    assert "You said: after" in text_of(await events(site, driver, open_tab, "after"))


async def test_login(apps: Apps, open_tab: OpenTab, chromium: Chromium) -> None:
    site = apps.site("auth")
    assert (await site.probe(await open_tab(site))).state is LoginState.DEAD
    for driver in ("fetch:queue", "screen"):
        with pytest.raises(LoginNeeded):
            await events(site, driver, open_tab, "hello")
    context = await chromium.context()
    try:
        with pytest.raises(LoginNeeded, match="user name and password"):
            await site.adopt(context, "ada:wrong")
        await site.adopt(context, "ada:lovelace:1815")
        tab = await context.tab()
        await site.open(tab)
        login = await site.probe(tab)
        assert (login.state, login.label) == (LoginState.LIVE, "ada")
        assert text_of([event async for event in run(site, "fetch", tab, Turn("hello", ""))]) == "You said: hello"
        assert text_of([event async for event in run(site, "screen", tab, Turn("again", ""))]) == "You said: again"
    finally:
        await context.close()


async def test_public_app_is_live(apps: Apps, open_tab: OpenTab) -> None:
    site = apps.site("text")
    assert (await site.probe(await open_tab(site))).state is LoginState.LIVE


async def test_model_picker(apps: Apps, open_tab: OpenTab) -> None:
    site = apps.site("options")
    specs = await site.catalogue(await open_tab(site))
    assert [(spec.key, spec.default) for spec in specs] == [("", True), ("tiny-1b", False), ("big/70b", False)]
    for driver in FETCH:
        assert text_of(await events(site, driver, open_tab, "hi")) == "tiny-1b (7): hi"
        assert text_of(await events(site, driver, open_tab, "hi", model="big/70b")) == "big/70b (7): hi"
    with pytest.raises(BadRequest, match="no model"):
        await events(site, "fetch:queue", open_tab, "hi", model="huge")


@pytest.mark.parametrize("driver", ["fetch:queue", "screen", "dom"])
async def test_blocks(apps: Apps, open_tab: OpenTab, driver: str) -> None:
    site = apps.site("blocks")
    assert text_of(await events(site, driver, open_tab, "hello there")) == "You said: hello there"
    assert apps.received("blocks")[-1]["text"] == "hello there"
    if driver == "fetch:queue":
        await events(site, driver, open_tab, "hello", model="big/70b")
        assert any(entry.get("model") == "big/70b" for entry in apps.received("blocks"))


async def test_chat_interface_without_api(apps: Apps, open_tab: OpenTab) -> None:
    site = apps.site("private")
    assert text_of(await events(site, "fetch:queue", open_tab, apps.script("tidy", TIDY, [3, 90, 200]))) == TIDY
    with pytest.raises(SiteChanged, match="named endpoint") as refused:
        await events(site, "fetch:call", open_tab, "hi")
    assert refused.value.refused, "another driver may be tried"


async def test_form(apps: Apps, open_tab: OpenTab) -> None:
    assert text_of(await events(apps.site("plain"), "fetch:queue", open_tab, "one two")) == "You said: one two"


async def test_app_that_changed_is_learned_anew(apps: Apps, open_tab: OpenTab) -> None:
    site = apps.site("text")
    tab = await open_tab(site)
    app = await site._known(tab)
    endpoint = app.endpoint()
    assert endpoint is not None
    endpoint.steps[0].id = 999  # what a redeployed app looks like to who knows the old one
    with pytest.raises(SiteChanged) as refused:
        await events(site, "fetch:queue", open_tab, "hi")
    assert refused.value.refused
    assert text_of(await events(site, "fetch:queue", open_tab, "hi")) == "You said: hi"


async def test_not_a_gradio_app(apps: Apps, open_tab: OpenTab) -> None:
    site = apps.site("nowhere")
    with pytest.raises(SiteChanged):
        await site.probe(await open_tab(site))
    assert json.loads((apps.folder / "received.jsonl").read_text().splitlines()[0])
