"""Keys of histories, and what of a request is new."""

import hashlib
import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.chat.conversation import EMPTY, answered, digest_files, extend, history_key, history_keys, normal, split
from relay.chat.request import Attachment, Message, Role

ROLES: st.SearchStrategy[Role] = st.sampled_from(["system", "user", "assistant", "tool"])
FILES = st.binary(max_size=3).map(lambda data: Attachment("f", "text/plain", data))
TEXTS = st.text(st.sampled_from("ab \n\r<think>/"), max_size=12) | st.text(max_size=5)
MESSAGES = st.lists(
    st.builds(Message, role=ROLES, text=TEXTS, attachments=st.lists(FILES, max_size=2).map(tuple)), max_size=5
)


def meaning(messages: list[Message]) -> list[tuple[object, ...]]:
    return [(one.role, normal(one), [file.data for file in one.attachments]) for one in messages]


@given(MESSAGES, MESSAGES)
def test_keys_are_equal_exactly_for_equal_histories(one: list[Message], other: list[Message]) -> None:
    assert (history_key(one) == history_key(other)) == (meaning(one) == meaning(other))


@given(MESSAGES, st.integers(0, 5))
def test_every_prefix_has_its_own_key_and_a_longer_one_follows_from_it(messages: list[Message], cut: int) -> None:
    keys = history_keys(messages)
    assert keys == [history_key(messages[: n + 1]) for n in range(len(messages))]
    assert len(set(keys)) == len(keys)
    before = keys[cut - 1] if 0 < cut <= len(keys) else EMPTY
    if cut <= len(messages):
        assert extend(before, messages[cut:]) == history_key(messages)


def test_no_two_ways_of_cutting_the_same_text_collide() -> None:
    assert history_key([Message("user", "ab"), Message("user", "c")]) != history_key(
        [Message("user", "a"), Message("user", "bc")]
    )
    file = Attachment("f", "text/plain", b"x")
    assert history_key([Message("user", "x")]) != history_key([Message("user", "", (file,))])
    assert history_key([Message("user", "", (file, file))]) != history_key([Message("user", "", (file,))])
    assert history_key([Message("user", "x", name="ann")]) != history_key([Message("user", "x", name="bob")])


def test_a_file_counts_by_its_bytes_not_by_its_name() -> None:
    file = Attachment("a.txt", "text/plain", b"x")
    one = history_key([Message("user", "x", (file,))])
    assert one == history_key([Message("user", "x", (replace(file, name="b.txt", mime="text/html"),))])
    assert one != history_key([Message("user", "x", (replace(file, data=b"y"),))])


def test_a_file_is_hashed_once_by_whoever_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = [Message("user", "x", (Attachment("f", "text/plain", b"data"),))]
    key = history_key([Message("user", "x", (Attachment("f", "text/plain", b"data"),))])
    hashed_by: list[int] = []
    plain = hashlib.sha256

    def counted(data: bytes = b"") -> object:
        if data == b"data":
            hashed_by.append(threading.get_ident())
        return plain(data)

    monkeypatch.setattr(hashlib, "sha256", counted)
    thread = threading.Thread(target=digest_files, args=(messages,))
    thread.start()
    thread.join()
    assert history_key(messages) == key == history_key(messages)
    assert hashed_by == [thread.ident]


@pytest.mark.parametrize(
    "returned",
    [
        "One\n\n`two`",
        "  One\r\n\r\n`two`\r\n",
        "<think>hm\nhm</think>\n\nOne\n\n`two`",
        "<thinking>a</thinking> <think>b</think>One\n\n`two`",
        '<details type="reasoning" done="true">\n<summary>Thought</summary>\n> hm\n</details>\nOne\n\n`two`',
    ],
)
def test_what_clients_do_to_an_answer_does_not_change_its_key(returned: str) -> None:
    asked = [Message("system", "Be brief."), Message("user", "Count.")]
    recorded = answered(asked, "One\n\n`two`\n")
    assert history_key([*asked, Message("assistant", returned, name="Kimi")]) == recorded


@pytest.mark.parametrize("changed", ["One", "One\n`two`", "One\n\n`two` <think>hm</think>", "<think>One\n\n`two`"])
def test_another_answer_has_another_key(changed: str) -> None:
    asked = [Message("user", "Count.")]
    assert history_key([*asked, Message("assistant", changed)]) != answered(asked, "One\n\n`two`")


def test_a_user_may_write_reasoning_tags() -> None:
    assert history_key([Message("user", "<think>a</think>b")]) != history_key([Message("user", "b")])


def test_a_lone_surrogate_has_a_key() -> None:
    assert history_key([Message("user", "\ud800")]) != history_key([Message("user", "\ud801")])


def test_a_thousand_unclosed_tags_cost_nothing() -> None:
    text = "<think>" * 20_000
    assert normal(Message("assistant", text)) == text


@given(MESSAGES)
def test_what_is_new_never_holds_an_answer_and_nothing_is_lost(messages: list[Message]) -> None:
    said, new = split(messages)
    assert [*said, *new] == messages
    assert all(one.role != "assistant" for one in new)
    assert not said or said[-1].role == "assistant"
    assert split(messages, 1) == (tuple(messages[:1]), tuple(messages[1:]))
