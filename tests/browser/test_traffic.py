"""`tab.traffic`: the page's own requests and sockets, with nothing injected."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import zlib

import pytest

from relay.browser.answer import Answer
from relay.browser.chromium import Context
from relay.browser.tab import Tab
from relay.browser.traffic import SocketFrame, Traffic
from relay.errors import BrowserFault, CutAnswer, SiteUnavailable
from tests.browser.conftest import eventually
from tests.browser.nasty import BROTLI, BROTLI_TEXT, Nasty

pytestmark = pytest.mark.asyncio(loop_scope="session")
WAIT_S = 20
FETCH = "([url, options]) => { fetch(url, options).then(answer => answer.arrayBuffer()).catch(() => 0); }"
READER = """async ([url]) => {
    const reader = (await fetch(url)).body.getReader();
    while (!(await reader.read()).done);
}"""
XHR = "([url]) => { const x = new XMLHttpRequest(); x.open('GET', url); x.send(); }"
SOURCE = "([url]) => { const s = new EventSource(url); s.onmessage = () => 0; s.onerror = () => s.close(); }"
WORKER = "([url]) => { window.worker = new Worker('/page/worker.js'); worker.postMessage(url); }"


@pytest.fixture
def tab(warm_tab: Tab) -> Tab:
    """These tests leave the tab as they found it."""
    return warm_tab


async def head(traffic: Traffic) -> Answer:
    async with asyncio.timeout(WAIT_S):
        return await (await traffic.next()).answer()


async def body(traffic: Traffic) -> bytes:
    async with asyncio.timeout(WAIT_S):
        return await (await head(traffic)).read()


class TestAnswers:
    @pytest.mark.parametrize(
        "way", [FETCH, READER, XHR, SOURCE, WORKER], ids=["fetch", "reader", "xhr", "eventsource", "worker"]
    )
    async def test_every_way_to_ask(self, tab: Tab, nasty: Nasty, way: str) -> None:
        gate = asyncio.Event()
        text = "data: Größe 漢字 🦉\n\n".encode()
        url, _ = nasty.play(text[:9], text[9:], gate, text)
        async with tab.traffic(f"**{url}") as traffic:
            asking = asyncio.ensure_future(tab.page.evaluate(way, [url]))
            chunks = aiter(await head(traffic))
            got = b""
            async with asyncio.timeout(WAIT_S):
                while len(got) < len(text):
                    got += await anext(chunks)
                assert got == text
                gate.set()
                assert b"".join([chunk async for chunk in chunks]) == text
                await asking

    async def test_first_worker_of_a_page(self, context: Context, nasty: Nasty) -> None:
        tab = await context.tab()
        await tab.goto(nasty.url())
        head_gate = asyncio.Event()
        url, play = nasty.play(b"from a worker", head=head_gate)
        async with tab.traffic(f"**{url}") as traffic:
            await tab.page.evaluate(WORKER, [url])
            await asyncio.wait_for(play.seen_one.wait(), WAIT_S)
            await tab.evaluate("() => 1")  # the session of the worker was set up before this was answered
            head_gate.set()
            assert await body(traffic) == b"from a worker"

    async def test_cross_origin_frame(self, tab: Tab, nasty: Nasty) -> None:
        url, _ = nasty.play(b"from ", b"the frame", gap_s=0.02)
        async with tab.traffic("**/play/*") as traffic:
            await tab.page.evaluate(
                "src => { document.body.append(Object.assign(document.createElement('iframe'), { src })); }",
                nasty.url(f"/page/frame.html?url={url}", host="localhost"),
            )
            assert await body(traffic) == b"from the frame"

    async def test_exchange_says_what_was_asked(self, tab: Tab, nasty: Nasty) -> None:
        url, _ = nasty.play(b"{}", status=201, headers=[("content-type", "application/json; charset=utf-8")])
        async with tab.traffic(f"**{url}") as traffic:
            await tab.page.evaluate(FETCH, [url + "?a=1", {"method": "POST", "body": '{"q": "漢字"}'}])
            exchange = await traffic.next()
            answer = await exchange.answer()
            assert (exchange.method, exchange.url, exchange.post_data) == (
                "POST",
                nasty.url(url) + "?a=1",
                '{"q": "漢字"}',
            )
            assert (answer.status, answer.content_type, exchange.kind) == (201, "application/json", "Fetch")

    async def test_bytes_gzip_and_brotli(self, tab: Tab, nasty: Nasty) -> None:
        every = bytes(range(256))
        packer = zlib.compressobj(wbits=31)
        packed = [packer.compress(every) + packer.flush(zlib.Z_SYNC_FLUSH), packer.flush()]
        cases = [
            (nasty.play(every[:99], every[99:], headers=[("content-type", "application/connect+json")]), every),
            (nasty.play(*packed, gap_s=0.02, headers=[("content-encoding", "gzip")]), every),
            (nasty.play(*map(base64.b64decode, BROTLI), headers=[("content-encoding", "br")]), BROTLI_TEXT.encode()),
        ]
        async with tab.traffic("**/play/*") as traffic:
            for (url, _), expected in cases:
                await tab.page.evaluate(FETCH, [url])
                assert await body(traffic) == expected

    @pytest.mark.parametrize("pieces", [1, 500, 5000])
    async def test_five_megabytes(self, tab: Tab, nasty: Nasty, pieces: int) -> None:
        parts = [hashlib.shake_128(b"%d" % number).digest(5_000_000 // pieces) for number in range(pieces)]
        url, play = nasty.play(*parts)
        async with tab.traffic(f"**{url}") as traffic:
            await tab.page.evaluate(FETCH, [url])
            assert hashlib.sha256(await body(traffic)).digest() == hashlib.sha256(play.bytes).digest()

    async def test_finished_before_we_asked(self, tab: Tab, nasty: Nasty) -> None:
        async with tab.traffic("**/play/*") as traffic:
            for number in range(30):  # quick ones: some are over before our question arrives
                text = f"answer {number} 漢字".encode()
                url, _ = nasty.play(text, headers=[("content-type", ("application/json", "image/x-thing")[number % 2])])
                await tab.page.evaluate((FETCH, READER)[number // 2 % 2], [url])
                assert await body(traffic) == text

    @pytest.mark.parametrize(
        "mime",
        [
            "text/event-stream", "text/event-stream; charset=utf-8", "text/plain; charset=gbk", "text/html",
            "application/json", "application/connect+json", "application/grpc-web", "",
        ],
    )  # fmt: skip
    async def test_the_fallback_gives_the_bytes_back(
        self, tab: Tab, nasty: Nasty, mime: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Chromium hands a finished answer out as text, decoded by rules of its own."""

        async def too_late(*_: object) -> None:
            return None

        monkeypatch.setattr("relay.browser.traffic._Request._streamed", too_late)
        async with tab.traffic("**/play/*") as traffic:
            texts = (bytes(range(256)), "Größe 漢字 🦉".encode(), b"\x00\x00\x00\x00\x02{}", b"")
            for text in ("漢字".encode("gbk"),) if "gbk" in mime else texts:
                url, _ = nasty.play(text, headers=[("content-type", mime)] if mime else [])
                await tab.page.evaluate(FETCH, [url])
                assert await body(traffic) == text

    async def test_read_long_after(self, tab: Tab, nasty: Nasty) -> None:
        url, play = nasty.play(b"patience")
        async with tab.traffic(f"**{url}") as traffic:
            await tab.page.evaluate(FETCH, [url])
            await asyncio.wait_for(play.ended.wait(), WAIT_S)
            await tab.page.evaluate(FETCH, [nasty.play()[0]])
            assert await body(traffic) == b"patience"

    @pytest.mark.parametrize(("status", "pieces"), [(200, []), (204, []), (500, [b"oops"])])
    async def test_empty_and_failed(self, tab: Tab, nasty: Nasty, status: int, pieces: list[bytes]) -> None:
        url, _ = nasty.play(*pieces, status=status)
        async with tab.traffic(f"**{url}") as traffic:
            await tab.page.evaluate(FETCH, [url])
            answer = await head(traffic)
            assert (answer.status, await answer.read()) == (status, b"".join(pieces))

    async def test_redirect(self, tab: Tab, nasty: Nasty) -> None:
        target, _ = nasty.play(b"there")
        url, _ = nasty.play(status=307, headers=[("location", target)])
        async with tab.traffic(f"**{url}") as traffic:
            await tab.page.evaluate(FETCH, [url])
            exchange = await traffic.next()
            assert await (await exchange.answer()).read() == b"there"
            assert exchange.url == nasty.url(target)

    async def test_redirect_to_where_the_page_may_not_read(self, tab: Tab, nasty: Nasty) -> None:
        target, _ = nasty.play(b"not for you")
        elsewhere = nasty.url(target, host="localhost")
        url, _ = nasty.play(status=302, headers=[("location", elsewhere)])
        async with tab.traffic(f"**{url}") as traffic:
            await tab.page.evaluate(FETCH, [url])
            answer = await head(traffic)
            assert (answer.status, answer.headers["location"]) == (302, elsewhere)
            with pytest.raises(CutAnswer):
                await answer.read()

    async def test_duplicate_headers(self, tab: Tab, nasty: Nasty) -> None:
        async with tab.traffic("**/set-cookies") as traffic:
            await tab.page.evaluate(FETCH, ["/set-cookies"])
            assert (await head(traffic)).headers["x-a"] == "1, 2"


class TestWatchers:
    async def test_two_watchers_each_get_every_byte(self, tab: Tab, nasty: Nasty) -> None:
        url, play = nasty.play(*[b"%d;" % number for number in range(40)], gap_s=0.002)
        async with tab.traffic("**/play/*") as one, tab.traffic(f"**{url}", "**/other") as two:
            await tab.page.evaluate(FETCH, [url])
            assert list(await asyncio.gather(body(one), body(two))) == [play.bytes, play.bytes]

    async def test_only_what_is_watched(self, tab: Tab, nasty: Nasty) -> None:
        wanted, _ = nasty.play(b"yes")
        async with tab.traffic(f"**{wanted}") as traffic:
            for url in (nasty.play(b"no")[0], wanted):
                await tab.page.evaluate(FETCH, [url])
            assert await body(traffic) == b"yes"
            assert "waiting=0" in repr(traffic)

    async def test_an_answer_outlives_its_watch(self, tab: Tab, nasty: Nasty) -> None:
        gate = asyncio.Event()
        url, play = nasty.play(b"one ", gate, b"two")
        async with tab.traffic(f"**{url}") as traffic:
            await tab.page.evaluate(FETCH, [url])
            answer = await head(traffic)
        gate.set()
        assert await asyncio.wait_for(answer.read(), WAIT_S) == play.bytes


class TestEnds:
    async def test_the_page_aborts(self, tab: Tab, nasty: Nasty) -> None:
        url, _ = nasty.play(b"so far", asyncio.Event())
        async with tab.traffic(f"**{url}") as traffic:
            await tab.page.evaluate(
                "url => { window.stop = new AbortController();"
                "fetch(url, { signal: stop.signal }).then(answer => answer.text()).catch(() => 0); }",
                url,
            )
            chunks = aiter(await head(traffic))
            assert await anext(chunks) == b"so far"
            await tab.page.evaluate("stop.abort()")
            with pytest.raises(StopAsyncIteration):  # not told from an end; see TrafficTap._failed
                await asyncio.wait_for(anext(chunks), WAIT_S)

    async def test_server_dies_in_mid_stream(self, tab: Tab, nasty: Nasty) -> None:
        gate = asyncio.Event()
        url, _ = nasty.play(b"so far", gate, dies=True)
        async with tab.traffic(f"**{url}") as traffic:
            await tab.page.evaluate(FETCH, [url])
            chunks = aiter(await head(traffic))
            assert await anext(chunks) == b"so far"
            gate.set()
            with pytest.raises(CutAnswer, match="broke off"):
                await asyncio.wait_for(anext(chunks), WAIT_S)

    async def test_unreachable(self, tab: Tab) -> None:
        async with tab.traffic("**") as traffic:
            await tab.page.evaluate(FETCH, ["http://127.0.0.1:1/"])
            with pytest.raises(SiteUnavailable):
                await head(traffic)

    async def test_navigation_in_mid_stream(self, tab: Tab, nasty: Nasty) -> None:
        url, _ = nasty.play(b"so far", asyncio.Event())
        async with tab.traffic("**/play/*") as traffic:
            await tab.page.evaluate(FETCH, [url])
            answer = await head(traffic)
            assert await anext(aiter(answer)) == b"so far"
            await tab.goto(nasty.url("/page/frame.html"))
            with pytest.raises(CutAnswer, match="navigated"):
                await asyncio.wait_for(answer.read(), WAIT_S)
            again, _ = nasty.play(b"next page")
            await tab.page.evaluate(FETCH, [again])
            assert await body(traffic) == b"next page"

    async def test_a_worker_that_is_ended_in_mid_stream(self, tab: Tab, nasty: Nasty) -> None:
        url, _ = nasty.play(b"so far", asyncio.Event())
        async with tab.traffic(f"**{url}") as traffic:
            await tab.page.evaluate(WORKER, [url])
            answer = await head(traffic)
            assert await anext(aiter(answer)) == b"so far"
            await tab.page.evaluate("worker.terminate()")
            with pytest.raises(CutAnswer):
                await asyncio.wait_for(answer.read(), WAIT_S)

    async def test_closing_the_page_wakes_every_watcher(self, context: Context, nasty: Nasty) -> None:
        tab = await context.tab()
        await tab.goto(nasty.url())
        async with tab.traffic("**/play/*") as traffic:
            url, _ = nasty.play(b"so far", asyncio.Event())
            await tab.page.evaluate(FETCH, [url])
            answer = await head(traffic)
            waiting = asyncio.ensure_future(traffic.next())
            await tab.page.close()
            for stuck in (waiting, answer.read(), traffic.next(), anext(aiter(traffic.frames()))):
                with pytest.raises(BrowserFault):
                    await asyncio.wait_for(stuck, WAIT_S)


class TestSockets:
    async def test_text_and_binary_both_ways(self, tab: Tab, nasty: Nasty) -> None:
        url = nasty.url("/socket").replace("http", "ws")
        every = bytes(range(256))
        async with tab.traffic("ws://**/socket") as traffic:
            await tab.page.evaluate(
                """url => { const socket = new WebSocket(url); socket.onopen = () => {
                    socket.send("Größe 🦉");
                    socket.send(Uint8Array.from({ length: 256 }, (_, n) => n));
                    socket.send("bye");
                } }""",
                url,
            )
            async with asyncio.timeout(WAIT_S):
                frames = [frame async for frame in traffic.frames()]
        assert [frame for frame in frames if frame.sent] == [
            SocketFrame(url, "Größe 🦉", True), SocketFrame(url, every, True), SocketFrame(url, "bye", True)
        ]  # fmt: skip
        assert [frame.data for frame in frames if not frame.sent] == ["Größe 🦉", every]

    async def test_navigation_ends_the_frames(self, tab: Tab, nasty: Nasty) -> None:
        async with tab.traffic("ws://**") as traffic:
            frames = aiter(traffic.frames())
            await tab.page.evaluate(
                "url => { window.s = new WebSocket(url); s.onopen = () => s.send('hello'); }",
                nasty.url("/socket").replace("http", "ws"),
            )
            async with asyncio.timeout(WAIT_S):
                assert (await anext(frames)).sent
                assert (await anext(frames)).data == "hello"
                await tab.goto(nasty.url("/page/frame.html"))
                with pytest.raises(CutAnswer, match="navigated"):
                    await anext(frames)

    async def test_a_socket_older_than_the_watch_but_not_than_the_tap(self, tab: Tab, nasty: Nasty) -> None:
        async with tab.traffic("**/never"):
            pass
        await tab.page.evaluate(
            "url => new Promise(done => { window.s = new WebSocket(url); s.onopen = done; })",
            nasty.url("/socket").replace("http", "ws"),
        )
        async with tab.traffic("ws://**") as traffic:
            await tab.page.evaluate("s.send('again')")
            assert (await asyncio.wait_for(anext(aiter(traffic.frames())), WAIT_S)).data == "again"


async def test_nothing_is_kept_of_what_is_over(tab: Tab, nasty: Nasty) -> None:
    async with tab.traffic("**/play/*") as traffic:
        for _ in range(20):
            await tab.page.evaluate(FETCH, [nasty.play(b"x")[0]])
            await body(traffic)
        await eventually(lambda: not tab._tap._open and not tab._tap._following)
