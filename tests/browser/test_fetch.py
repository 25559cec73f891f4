"""`tab.fetch` and `tab.stream`: exact bytes in order, aborts that the site sees, and every kind of body and end."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import zlib
from email.parser import BytesParser
from email.policy import HTTP

import pytest

from relay.browser.fetch import FormPart
from relay.browser.tab import Tab
from relay.errors import CutAnswer, LoginNeeded, RateLimited, SiteUnavailable
from tests.browser.conftest import eventually
from tests.browser.nasty import BROTLI, BROTLI_TEXT, Nasty

pytestmark = pytest.mark.asyncio(loop_scope="session")
TEXT = "data: Größe, 漢字, 🦉 and a ZWJ 👩‍👩‍👧\n\n".encode()
EVERY = bytes(range(256))


@pytest.fixture
def tab(warm_tab: Tab) -> Tab:
    """These tests leave the tab as they found it."""
    return warm_tab


async def read(tab: Tab, url: str) -> list[bytes]:
    async with tab.stream("GET", url) as answer:
        return [chunk async for chunk in answer]


def gzipped(pieces: list[bytes]) -> list[bytes]:
    packer = zlib.compressobj(wbits=31)
    packed = [packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH) for piece in pieces]
    return [*packed, packer.flush()]


class TestBytes:
    async def test_characters_cut_between_chunks(self, tab: Tab, nasty: Nasty) -> None:
        url, _ = nasty.play(*[TEXT[at : at + 1] for at in range(len(TEXT))])
        assert b"".join(await read(tab, url)) == TEXT

    async def test_all_byte_values(self, tab: Tab, nasty: Nasty) -> None:
        frames = b"".join(bytes([0, 0, 0, 1, size]) + EVERY[:size] for size in range(256))
        url, _ = nasty.play(frames[:777], frames[777:], headers=[("content-type", "application/connect+json")])
        assert b"".join(await read(tab, url)) == frames

    async def test_chunks_come_as_they_are_sent(self, tab: Tab, nasty: Nasty) -> None:
        go = [asyncio.Event() for _ in range(3)]
        url, _ = nasty.play(b"one", go[0], b"two", go[1], b"three", go[2])
        async with tab.stream("GET", url) as answer:
            chunks = aiter(answer)
            for expected, gate in zip((b"one", b"two", b"three"), go, strict=True):
                assert await anext(chunks) == expected  # although the rest is still held back
                gate.set()
            with pytest.raises(StopAsyncIteration):
                await anext(chunks)

    async def test_gzip(self, tab: Tab, nasty: Nasty) -> None:
        gate = asyncio.Event()
        first, *rest = gzipped([TEXT, TEXT * 3, b"end"])
        url, _ = nasty.play(first, gate, *rest, headers=[("content-encoding", "gzip")])
        async with tab.stream("GET", url) as answer:
            chunks = aiter(answer)
            assert await anext(chunks) == TEXT
            gate.set()
            assert b"".join([chunk async for chunk in chunks]) == TEXT * 3 + b"end"

    async def test_brotli(self, tab: Tab, nasty: Nasty) -> None:
        # Chromium takes br over TLS only and loopback is no exception, yet it decodes what it is given.
        url, _ = nasty.play(*map(base64.b64decode, BROTLI), gap_s=0.005, headers=[("content-encoding", "br")])
        assert b"".join(await read(tab, url)).decode() == BROTLI_TEXT

    @pytest.mark.parametrize("pieces", [1, 500, 5000])
    async def test_five_megabytes(self, tab: Tab, nasty: Nasty, pieces: int) -> None:
        size = 5_000_000 // pieces
        parts = [hashlib.shake_128(b"%d" % number).digest(size) for number in range(pieces)]
        url, play = nasty.play(*parts)
        assert hashlib.sha256(b"".join(await read(tab, url))).digest() == hashlib.sha256(play.bytes).digest()

    async def test_streams_side_by_side(self, tab: Tab, nasty: Nasty) -> None:
        plays = [nasty.play(*[b"%d:%d;" % (n, i) for i in range(50)], gap_s=0.001) for n in range(5)]
        got = await asyncio.gather(*[read(tab, url) for url, _ in plays])
        assert [b"".join(chunks) for chunks in got] == [play.bytes for _, play in plays]


class TestRequests:
    async def test_text_body_and_headers(self, tab: Tab, nasty: Nasty) -> None:
        url, play = nasty.play(b"{}", headers=[("content-type", "application/json")])
        body = json.dumps({"text": "漢字 🦉 \u2028 \x00"}, ensure_ascii=False)
        await tab.fetch("POST", url + "?q=1", body=body, headers={"Content-Type": "application/json", "X-One": "1"})
        seen = play.seen[0]
        assert (seen.method, seen.query, seen.body.decode()) == ("POST", "q=1", body)
        assert (seen.headers["content-type"], seen.headers["x-one"]) == ("application/json", "1")
        assert seen.headers["sec-fetch-site"] == "same-origin"

    @pytest.mark.parametrize("size", [0, 1, 256, 3_000_001])
    async def test_bytes_body(self, tab: Tab, nasty: Nasty, size: int) -> None:
        body = (EVERY * (size // 256 + 1))[:size]
        url, play = nasty.play()
        await tab.fetch("POST", url, body=body)
        assert play.seen[0].body == body

    async def test_multipart(self, tab: Tab, nasty: Nasty) -> None:
        url, play = nasty.play()
        big = EVERY * 6000  # goes ahead in several pieces
        parts = [
            FormPart("purpose", "Größe"),
            FormPart("file", big, filename="漢字.bin", mime="application/x-thing"),
            FormPart("file", b"", filename="empty.txt", mime="text/plain"),
        ]
        await tab.fetch("POST", url, body=parts)
        seen = play.seen[0]
        head = f"Content-Type: {seen.headers['content-type']}\r\n\r\n".encode()
        got = list(BytesParser(policy=HTTP).parsebytes(head + seen.body).iter_parts())
        names = [part.get_param("name", header="content-disposition") for part in got]
        assert names == ["purpose", "file", "file"]
        assert 'filename="漢字.bin"'.encode() in seen.body
        assert [part.get_content_type() for part in got[1:]] == ["application/x-thing", "text/plain"]
        assert b"\r\n\r\n" + big + b"\r\n--" in seen.body

    async def test_cookies_go_along(self, tab: Tab, nasty: Nasty) -> None:
        answer = await tab.fetch("GET", "/set-cookies")
        assert answer.headers["x-a"] == "1, 2"
        url, play = nasty.play()
        await tab.fetch("GET", url)
        assert play.seen[0].headers["cookie"] == "one=1; two=2"


class TestAnswers:
    async def test_redirect(self, tab: Tab, nasty: Nasty) -> None:
        target, _ = nasty.play(b"there")
        url, _ = nasty.play(status=302, headers=[("location", target)])
        answer = await tab.fetch("GET", url)
        assert (answer.status, answer.url, answer.body) == (200, nasty.url(target), b"there")

    async def test_redirect_by_hand(self, tab: Tab, nasty: Nasty) -> None:
        url, _ = nasty.play(status=302, headers=[("location", "/elsewhere")])
        answer = await tab.fetch("GET", url, redirect="manual")
        assert (answer.status, answer.body) == (0, b"")

    @pytest.mark.parametrize(("status", "body"), [(200, b""), (204, b""), (500, b"oops"), (404, b"no")])
    async def test_status_and_empty_bodies(self, tab: Tab, nasty: Nasty, status: int, body: bytes) -> None:
        url, _ = nasty.play(*[body] if body else [], status=status)
        answer = await tab.fetch("GET", url)
        assert (answer.status, answer.body) == (status, body)

    async def test_refusals_become_errors(self, tab: Tab, nasty: Nasty) -> None:
        for status, error in ((401, LoginNeeded), (429, RateLimited), (503, SiteUnavailable)):
            url, _ = nasty.play(b"not today", status=status, headers=[("retry-after", "7")])
            async with tab.stream("POST", url) as answer:
                with pytest.raises(error, match="not today") as caught:
                    await answer.raise_for_status()
            assert caught.value.refused == (status != 503)
            assert caught.value.retry_after_s == (7 if status in (429, 503) else None)

    async def test_slow_head(self, tab: Tab, nasty: Nasty) -> None:
        head = asyncio.Event()
        url, play = nasty.play(b"late", head=head)
        asking = asyncio.create_task(tab.fetch("GET", url))
        await eventually(lambda: bool(play.seen))
        assert not asking.done()
        head.set()
        assert (await asking).body == b"late"

    async def test_no_head_in_time(self, tab: Tab, nasty: Nasty) -> None:
        url, play = nasty.play(head=asyncio.Event())
        with pytest.raises(SiteUnavailable, match=r"within 0\.3 s"):
            await tab.fetch("GET", url, timeout_s=0.3)
        await asyncio.wait_for(play.left.wait(), 10)

    async def test_server_dies_in_mid_stream(self, tab: Tab, nasty: Nasty) -> None:
        gate = asyncio.Event()
        url, _ = nasty.play(b"so far", gate, dies=True)
        with pytest.raises(CutAnswer, match="broke off"):
            async with tab.stream("GET", url) as answer:
                async for chunk in answer:
                    assert chunk == b"so far"
                    gate.set()
        assert gate.is_set()

    async def test_unreachable(self, tab: Tab) -> None:
        with pytest.raises(SiteUnavailable, match="could not be reached"):
            await tab.fetch("GET", "http://127.0.0.1:9/")

    async def test_a_malformed_request_is_an_error_too(self, tab: Tab) -> None:
        with pytest.raises(SiteUnavailable):
            await tab.fetch("GET", "/page/blank.html", body="a GET has none")

    async def test_navigation_in_mid_stream(self, tab: Tab, nasty: Nasty) -> None:
        url, play = nasty.play(b"so far", asyncio.Event())
        with pytest.raises(CutAnswer, match="navigated"):
            async with tab.stream("GET", url) as answer:
                async for chunk in answer:
                    assert chunk == b"so far"
                    await tab.goto(nasty.url("/page/frame.html"))
        await asyncio.wait_for(play.left.wait(), 10)
        assert (await tab.fetch("GET", "/page/blank.html")).status == 200


class TestLeaving:
    @pytest.mark.parametrize("world", ["isolated", "main"])
    async def test_leaving_early_aborts(self, tab: Tab, nasty: Nasty, world: str) -> None:
        url, play = nasty.play(b"first", asyncio.Event(), b"never")
        async with tab.stream("GET", url, world=world) as answer:  # type: ignore[arg-type]
            assert await anext(aiter(answer)) == b"first"
        await asyncio.wait_for(play.left.wait(), 10)
        assert not tab.calls

    async def test_cancelling_the_task_aborts(self, tab: Tab, nasty: Nasty) -> None:
        url, play = nasty.play(b"first", asyncio.Event())
        reading = asyncio.create_task(read(tab, url))
        await asyncio.wait_for(play.began.wait(), 10)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await asyncio.wait_for(play.left.wait(), 10)

    async def test_cancelling_before_the_head_aborts(self, tab: Tab, nasty: Nasty) -> None:
        url, play = nasty.play(head=asyncio.Event())
        reading = asyncio.create_task(read(tab, url))
        await eventually(lambda: bool(play.seen))
        reading.cancel()
        await asyncio.wait_for(play.left.wait(), 10)

    async def test_an_answer_read_to_its_mark_is_not_aborted(self, tab: Tab, nasty: Nasty) -> None:
        gate = asyncio.Event()
        url, play = nasty.play(b"data: [DONE]\n\n", gate, b": tail")
        async with tab.stream("GET", url) as answer:
            await anext(aiter(answer))
            answer.complete = True
        await tab.evaluate("() => 1")  # an abort, if there were one, is in the page now
        assert not play.left.is_set()
        gate.set()
        await asyncio.wait_for(play.ended.wait(), 10)
        await eventually(lambda: answer.ended)

    async def test_an_answer_that_never_closes_is_aborted_in_the_end(
        self, tab: Tab, nasty: Nasty, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("relay.browser.fetch.DRAIN_S", 0.05)
        url, play = nasty.play(b"data: [DONE]\n\n", asyncio.Event())
        async with tab.stream("GET", url) as answer:
            await anext(aiter(answer))
            answer.complete = True
        await asyncio.wait_for(play.left.wait(), 10)

    async def test_many_streams_leave_nothing(self, tab: Tab, nasty: Nasty) -> None:
        for number in range(40):
            url, play = nasty.play(b"x" * 100, *[asyncio.Event()] * (number % 2))
            async with tab.stream("GET", url) as answer:
                await anext(aiter(answer))
            if number % 2:
                await asyncio.wait_for(play.left.wait(), 10)
        await eventually(lambda: not tab.calls)
