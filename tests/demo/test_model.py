"""The pure parts: the model's script, the cutting of streams, sessions, forms."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.demo import MODELS, Pace, session_cookie
from relay.demo.model import Event, Turn, pieces, play
from relay.demo.replay import ScriptBody, Scripts, frame, shredded, split, steps
from relay.demo.sessions import LIFETIME_S, Sessions
from relay.demo.uploads import BadUpload, file_part

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


def turn(model: str, prompt: str = "How do streams work?") -> Turn:
    return Turn(model, prompt, conversation="c", message="m")


@given(TEXT)
def test_pieces_lose_nothing(text: str) -> None:
    assert "".join(pieces(text)) == text


def test_long_texts_are_cut_into_a_bounded_number_of_pieces() -> None:
    assert len(pieces("x" * 1_000_000)) == 400


def test_the_default_pace() -> None:
    delays = [delay for delay, event in play(turn("demo"), Pace()) if event["type"] == "text"]
    assert set(delays[1:]) == {0.02}
    slow = [delay for delay, event in play(turn("slow"), Pace()) if event["type"] == "text"]
    assert slow[0] == 8.0


def test_pace_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAY_DEMO_PIECE_MS", "5")
    monkeypatch.setenv("RELAY_DEMO_SLOW_FIRST_MS", "250")
    assert Pace.from_environment() == Pace(piece_s=0.005, slow_first_s=0.25)


def test_the_same_turn_plays_the_same_answer() -> None:
    assert list(play(turn("searcher"), Pace())) == list(play(turn("searcher"), Pace()))


def test_stall_never_ends_and_models_without_a_stream_say_so() -> None:
    assert list(play(turn("stall"), Pace()))[-1][0] == math.inf
    with pytest.raises(ValueError, match="no event stream"):
        play(turn("challenge"), Pace())
    assert next(iter(MODELS)) == "demo"


@given(st.lists(st.tuples(st.sampled_from([0.0, 5.0]), TEXT), max_size=20), st.integers())
def test_shredding_keeps_bytes_and_times(timed: list[tuple[float, str]], seed: int) -> None:
    script = Scripts().keep(ScriptBody(pieces=timed, seed=seed))
    plain = list(steps(script, turn("script")))
    blobs = list(shredded(plain, seed))
    assert b"".join(chunk for _, chunks in blobs for chunk in chunks) == b"".join(frame(event) for _, event in plain)
    assert [delay for delay, _ in blobs if delay] == [delay for delay, _ in plain if delay]
    assert blobs == list(shredded(plain, seed))


def test_shredding_cuts_inside_characters_and_across_events() -> None:
    events: list[tuple[float, Event]] = [(0.0, {"type": "text", "text": "流式输出" * 20}) for _ in range(50)]
    ((_, chunks),) = shredded(events, seed=1)
    ends = list(itertools.accumulate(len(chunk) for chunk in chunks))
    stream = b"".join(chunks)
    assert any(0x80 <= stream[end] < 0xC0 for end in ends[:-1])
    assert any(b"\n\ndata: " in chunk for chunk in chunks)


@given(TEXT, st.integers(1, 50), st.integers())
def test_split_gives_that_many_pieces(text: str, count: int, seed: int) -> None:
    cut = split(text, count, seed)
    assert "".join(cut) == text
    assert len(cut) == max(1, min(count, len(text)))


def test_session_cookies() -> None:
    sessions = Sessions("s1", {"demo": "demo"})
    _, value = session_cookie("s1", "demo")
    assert sessions.user_of(value) == "demo"
    assert sessions.user_of(session_cookie("s2", "demo")[1]) is None
    assert sessions.user_of(session_cookie("s1", "nobody")[1]) is None
    assert sessions.user_of(session_cookie("s1", "demo", now_s=1_000_000 - LIFETIME_S)[1]) is None
    for broken in (None, "", ".", "é.é", value[:-1], "A" + value):
        assert sessions.user_of(broken) is None
    sessions.log_out(value)
    assert sessions.user_of(value) is None
    assert Sessions("s1", {"demo": "demo"}).user_of(value) == "demo"


def test_forms() -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="kind"\r\n\r\nnote\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a \\"b\\" %22c%22.txt"\r\n'
        b"Content-Type: text/plain\r\n\r\none\r\n--two\r\n\r\n--b--\r\n"
    )
    part = file_part("multipart/form-data; boundary=b", body)
    assert (part.filename, part.mime, part.content) == ('a "b" "c".txt', "text/plain", b"one\r\n--two\r\n")
    named = body.replace(b'filename="a \\"b\\" %22c%22.txt"', b"filename*=UTF-8''%E7%AC%94.txt")
    assert file_part('multipart/form-data; boundary="b"', named).filename == "笔.txt"
    for kind, content in (
        ("text/plain", body),
        ("multipart/form-data", body),
        ("multipart/form-data; boundary=x", body),
    ):
        with pytest.raises(BadUpload):
            file_part(kind, content)
