"""Roles on pages of every make: typed into, clicked, attached to, read from."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

import pytest

from relay.browser.screen import Candidate, FillWay, MissingRole, Screen
from relay.browser.tab import Tab
from relay.chat.events import Event, Finished, Text
from relay.chat.request import Attachment
from relay.errors import BrowserFault, CutAnswer, SiteError
from tests.browser.conftest import eventually
from tests.browser.nasty import Nasty

pytestmark = pytest.mark.asyncio(loop_scope="session")
ROLES = {
    "input": [Candidate("#none"), Candidate(".box, #box")],
    "send": [Candidate("button", "Send")],
    "stop": [Candidate("#stop")],
    "attach": [Candidate("#file")],
    "model": [Candidate("#model")],
    "answer": [Candidate(".answer")],
    "busy": [Candidate("#app[data-state=busy]")],
    "error": [Candidate(".error")],
}
PROMPT = 'Größe 漢字 🦉\n  two   spaces\n\n- a list\n<b>&amp;</b> `code` \\ "quoted"'


@pytest.fixture
def tab(warm_tab: Tab) -> Tab:
    """These tests leave the tab as they found it."""
    return warm_tab


async def screen(tab: Tab, nasty: Nasty, page: str, ways: Sequence[FillWay] = ("paste", "insertText")) -> Screen:
    await tab.goto(nasty.url(f"/page/{page}"))
    return Screen(tab, ROLES, ways)


class TestSubmit:
    @pytest.mark.parametrize("text", [PROMPT, "x" * 200_000, "0"], ids=["nasty", "long", "falsy"])
    async def test_a_controlled_textarea(self, tab: Tab, nasty: Nasty, text: str) -> None:
        shown = await screen(tab, nasty, "chat.html")
        assert await shown.submit(text) == "setter"
        assert await tab.page.evaluate("window.sent") == [text]

    async def test_one_prompt_after_another(self, tab: Tab, nasty: Nasty) -> None:
        shown = await screen(tab, nasty, "chat.html")
        for text in ("one", "one", "two"):
            await shown.submit(text)
        assert await tab.page.evaluate("window.sent") == ["one", "one", "two"]

    @pytest.mark.parametrize(
        ("query", "ways", "expected"),
        [
            ("", ("paste", "insertText"), "paste"),
            ("?nopaste", ("paste", "insertText"), "insertText"),
            ("", ("insertText", "paste"), "insertText"),
            ("?short", ("paste", "pieces"), "pieces"),
        ],
    )
    async def test_an_editor_with_a_model_of_its_own(
        self, tab: Tab, nasty: Nasty, query: str, ways: Sequence[FillWay], expected: str
    ) -> None:
        shown = await screen(tab, nasty, f"editor.html{query}", ways)
        text = {"paste": PROMPT, "pieces": PROMPT * 60}.get(expected, "one line of Größe 漢字 🦉")
        for _ in range(2):
            assert await shown.submit(text) == expected
        assert await tab.page.evaluate("window.sent") == [text, text]

    async def test_pieces_cut_no_character(self, tab: Tab, nasty: Nasty) -> None:
        shown = await screen(tab, nasty, "editor.html?short", ("pieces",))
        texts = ["🦉" * 2_000, "x" + "🦉" * 2_000, "\n" * 1_500 + "end"]
        for text in texts:
            assert await shown.submit(text) == "pieces"
        assert await tab.page.evaluate("window.sent") == texts

    async def test_what_stood_in_the_editor_is_replaced(self, tab: Tab, nasty: Nasty) -> None:
        shown = await screen(tab, nasty, "editor.html")
        await tab.page.evaluate("insert('a draft of the owner')")
        await shown.submit("prompt")
        assert await tab.page.evaluate("window.sent") == ["prompt"]

    async def test_an_editor_that_takes_nothing(self, tab: Tab, nasty: Nasty) -> None:
        shown = await screen(tab, nasty, "editor.html?nopaste&deaf")
        with pytest.raises(MissingRole, match="did not take the text") as caught:
            await shown.submit("prompt")
        assert caught.value.refused

    async def test_late_hydration(self, tab: Tab, nasty: Nasty) -> None:
        shown = await screen(tab, nasty, "late.html")
        await shown.submit(PROMPT)
        assert await tab.page.evaluate("window.sent") == [PROMPT]


class TestMissing:
    async def test_it_names_the_candidates_and_shows_the_page(self, tab: Tab, nasty: Nasty) -> None:
        shown = await screen(tab, nasty, "chat.html")
        await tab.page.evaluate("send.remove()")
        with pytest.raises(MissingRole) as caught:
            await shown.submit("prompt", timeout_s=0.2)
        error = caught.value
        assert error.role == "send" and error.refused
        assert "button with text 'Send'" in error.message and "/page/chat.html" in error.message
        assert error.screenshot.startswith(b"\x89PNG\r\n\x1a\n")

    async def test_secrets_are_masked(self, tab: Tab, nasty: Nasty) -> None:
        """The mask is Playwright's pink; the white field under it must be gone."""
        shown = await screen(tab, nasty, "chat.html")
        shot = (await shown.missing("input")).screenshot
        middle = await tab.page.evaluate(
            """() => {
                const { left, top, width, height } = document.querySelector("[type=password]").getBoundingClientRect();
                return [left + width / 2, top + height / 2];
            }"""
        )
        colour = await tab.page.evaluate(
            """async ([bytes, [x, y]]) => {
                const image = await createImageBitmap(new Blob([Uint8Array.from(bytes)], { type: "image/png" }));
                const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
                canvas.drawImage(image, 0, 0);
                return [...canvas.getImageData(x, y, 1, 1).data];
            }""",
            [list(shot), middle],
        )
        assert colour == [255, 0, 255, 255]

    async def test_clicking_what_is_not_there(self, tab: Tab, nasty: Nasty) -> None:
        shown = await screen(tab, nasty, "chat.html")
        with pytest.raises(MissingRole, match="#stop"):
            await shown.click("stop", timeout_s=0.1)
        with pytest.raises(MissingRole, match="no candidates"):
            await shown.click("unheard-of", timeout_s=0.1)


class TestControls:
    async def test_attach(self, tab: Tab, nasty: Nasty) -> None:
        shown = await screen(tab, nasty, "chat.html")
        every = bytes(range(256))
        files = [Attachment("漢字.bin", "application/x-thing", every), Attachment("big.txt", "text/plain", b"")]
        await shown.attach(files)
        await tab.page.wait_for_function("window.got")
        assert await tab.page.evaluate("window.got") == [
            {"name": "漢字.bin", "type": "application/x-thing", "bytes": list(every)},
            {"name": "big.txt", "type": "text/plain", "bytes": []},
        ]

    async def test_a_large_file(self, tab: Tab, nasty: Nasty) -> None:
        shown = await screen(tab, nasty, "chat.html")
        await shown.attach([Attachment("big", "", bytes(range(256)) * 12_000)])
        size = "(() => { const f = document.getElementById('file').files[0]; return f.size; })()"
        assert await tab.page.evaluate(size) == 256 * 12_000

    async def test_stop(self, tab: Tab, nasty: Nasty) -> None:
        shown = await screen(tab, nasty, "chat.html")
        await shown.stop()  # nothing to stop is no error
        assert not await tab.page.evaluate("!!window.stopped")
        await tab.page.evaluate("stop.style.display = ''")
        await shown.stop()
        assert await tab.page.evaluate("window.stopped")

    async def test_choose(self, tab: Tab, nasty: Nasty) -> None:
        shown = await screen(tab, nasty, "chat.html")
        await shown.choose("model", "large")
        assert await tab.page.evaluate("window.model") == "large"
        with pytest.raises(MissingRole, match="no choice 'huge'"):
            await shown.choose("model", "huge", timeout_s=0.1)

    async def test_press(self, tab: Tab, nasty: Nasty) -> None:
        """One menu opens at pointerdown and takes a click, another only at a click; each is pressed once."""
        await tab.goto(nasty.url("/page/menus.html"))
        roles = {
            "down": [Candidate("#down")],
            "click": [Candidate("#click")],
            "entry": [Candidate(".none"), Candidate("[role=menuitemradio]")],
        }
        shown = Screen(tab, roles)
        with pytest.raises(MissingRole, match="none that says 'fast'"):
            await shown.press("entry", "fast", timeout_s=0.1)
        for opener in ("down", "click"):
            await shown.press(opener)
            await shown.press("entry", "fast")
        assert await tab.page.evaluate("window.chosen") == ["down Fast", "click Fast"]

    async def test_what_a_role_is_not(self, tab: Tab, nasty: Nasty) -> None:
        await tab.goto(nasty.url("/page/menus.html"))
        alerts = Candidate("[role=alert]", unlike="Waiting")
        assert await Screen(tab, {"error": [Candidate("[role=alert]")]}).count("error") == 2
        assert await Screen(tab, {"error": [alerts]}).count("error") == 1

    async def test_wait_and_count(self, tab: Tab, nasty: Nasty) -> None:
        shown = await screen(tab, nasty, "chat.html")
        assert (await shown.count("answer"), await shown.wait("answer", timeout_s=0.05)) == (0, False)
        waiting = asyncio.create_task(shown.wait("answer"))
        await tab.page.evaluate("void answer(['<p>a</p>'])")
        assert await waiting
        assert await shown.count("answer") == 1


async def read(shown: Screen, before: int = 0) -> list[Event]:
    return [event async for event in shown.answer(before=before, settle_ms=100)]


class TestAnswer:
    async def test_a_page_that_streams(self, tab: Tab, nasty: Nasty) -> None:
        shown = await screen(tab, nasty, "chat.html")
        for before in range(2):
            reading = asyncio.create_task(read(shown, before))
            await eventually(lambda: bool(tab.observers))
            blocks = [f"<h2>Part {before}</h2>", "<p>Größe <b>漢字</b> 🦉</p>", "<ul><li>a</li><li>b</li></ul>"]
            await tab.page.evaluate("blocks => void answer(blocks)", blocks)
            events = await asyncio.wait_for(reading, 20)
            assert events[-1] == Finished()
            text = "".join(event.text for event in events if isinstance(event, Text))
            assert text == f"## Part {before}\n\nGröße **漢字** 🦉\n\n- a\n- b"

    async def test_an_error_that_the_page_shows(self, tab: Tab, nasty: Nasty) -> None:
        shown = await screen(tab, nasty, "chat.html")
        reading = asyncio.create_task(read(shown))
        await tab.page.evaluate("void answer(['<p>so far</p>'], { error: 'Too many people' })")
        with pytest.raises(SiteError, match="Too many people"):
            await asyncio.wait_for(reading, 20)

    async def test_a_page_that_navigates_away(self, tab: Tab, nasty: Nasty) -> None:
        shown = await screen(tab, nasty, "chat.html")
        reading = asyncio.create_task(read(shown))
        await eventually(lambda: bool(tab.observers))
        await tab.evaluate("() => 1")  # it watches now
        await tab.goto(nasty.url())
        with pytest.raises(CutAnswer, match="navigated"):
            await asyncio.wait_for(reading, 20)

    async def test_leaving_early_stops_the_watch(self, tab: Tab, nasty: Nasty) -> None:
        shown = await screen(tab, nasty, "chat.html")
        async with aclosing(shown.answer(before=0)) as events:
            first = asyncio.ensure_future(anext(events))
            await tab.page.evaluate("void answer(Array(50).fill('<p>a</p>'))")
            await asyncio.wait_for(first, 20)
        assert not tab.observers

    async def test_a_page_that_dies(self, tab: Tab, nasty: Nasty) -> None:
        shown = await screen(tab, nasty, "chat.html")
        reading = asyncio.create_task(read(shown))
        await eventually(lambda: bool(tab.observers))
        await tab.page.close()
        with pytest.raises(BrowserFault):
            await asyncio.wait_for(reading, 20)
