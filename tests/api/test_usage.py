"""Token counts: by bytes, and by o200k with `relay[tokens]`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.api.answer import Composer, Limits
from relay.chat import usage
from relay.chat.events import Finished, Reasoning, Text
from relay.chat.request import Message
from tests.api.conftest import Served
from tests.api.raw import CHAT, body


@pytest.fixture
def unloaded() -> Iterator[None]:
    """Tokens by bytes, as before the tokenizer is loaded; and afterwards again."""
    usage._encode = None
    yield
    usage._encode = None


@pytest.fixture
def loaded(unloaded: None) -> None:
    """Tokens by o200k."""
    assert usage.load()


@given(st.text())
def test_by_bytes(text: str) -> None:
    assert usage._encode is None
    assert usage.text_tokens(text) == -(-len(text.encode()) // 4)


def test_messages_count_together() -> None:
    assert usage.prompt_tokens([Message("user", "a"), Message("assistant", "bc"), Message("user", "é")]) == 2
    assert usage.prompt_tokens([]) == 0


def test_without_the_library(unloaded: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bpe_openai", None)  # as Python marks what cannot be imported
    assert not usage.load()
    assert usage.text_tokens("abcdefgh") == 2


def test_an_answer() -> None:
    composer = Composer()
    composer.feed([Reasoning("hm" * 4), Text("Hello"), Finished("stop")])
    assert composer.usage(7) == usage.Usage(7, 4, 2)


@pytest.mark.parametrize("limit", [1, 2, 10])
@pytest.mark.parametrize("text", ["x" * 100, "你好" * 50, "{}[]()" * 20])
def test_never_more_than_was_allowed(request: pytest.FixtureRequest, limit: int, text: str) -> None:
    for tokenizer in ("unloaded", "loaded"):
        request.getfixturevalue(tokenizer)
        composer = Composer(Limits(max_tokens=limit))
        composer.feed([Text(text), Finished("stop")])
        assert composer.finish == "length"
        assert composer.usage(0).completion <= limit


# With the library


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("Hello, world!", 4), ("tokenization is fun", 4), ("你好，世界", 3), ("<|endoftext|>", 7)],
)
def test_by_o200k(loaded: None, text: str, count: int) -> None:
    assert usage.text_tokens(text) == count


def test_a_long_text_is_estimated_by_its_beginning(loaded: None) -> None:
    sentence = "The quick brown fox jumps over the lazy dog. "
    assert usage.text_tokens(sentence) == 11, "ten words, and the space after them"
    assert usage.text_tokens(sentence * 10_000) == pytest.approx(100_000, rel=0.01)


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\x00", "a" * 1_000_000, "\ud83d" * 100_000, " " * 1_000_000])
def test_what_it_might_not_take(loaded: None, text: str) -> None:
    assert 0 < usage.text_tokens(text) <= len(text) * 3


def test_in_the_background(unloaded: None) -> None:
    usage.load_in_background()
    for thread in threading.enumerate():
        if thread.name == "loading the tokenizer":
            thread.join(60)
    assert usage.text_tokens("<|endoftext|>") == 7


def test_through_the_api(loaded: None, relay: Served) -> None:
    with relay.client() as http:
        answer = http.post(CHAT, json=body("demo/late")).json()
        assert answer["usage"]["prompt_tokens"] == answer["usage"]["completion_tokens"] == 1
        assert answer["usage"]["total_tokens"] == 2
