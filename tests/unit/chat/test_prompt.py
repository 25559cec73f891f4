"""Messages -> one prompt."""

from hypothesis import given
from hypothesis import strategies as st

from relay.chat.prompt import attachments, flatten
from relay.chat.request import Attachment, Message

ROLES = st.sampled_from(["system", "user", "assistant", "tool"])
MESSAGES = st.lists(st.builds(Message, role=ROLES, text=st.text()), min_size=1, max_size=8)


@given(st.text())
def test_a_single_user_message_arrives_exactly(text: str) -> None:
    assert flatten([Message("user", text)]) == text


@given(MESSAGES)
def test_no_text_is_lost_or_changed(messages: list[Message]) -> None:
    prompt = flatten(messages)
    for message in messages:
        assert message.text in prompt


def test_a_history_is_labelled_in_order() -> None:
    prompt = flatten(
        [
            Message("system", "Be brief."),
            Message("user", "1+1?"),
            Message("assistant", "2"),
            Message("user", "and 2+2?"),
        ]
    )
    assert prompt == "Be brief.\n\nUser: 1+1?\n\nAssistant: 2\n\nUser: and 2+2?"


def test_a_file_that_comes_again_is_sent_once() -> None:
    one, two = Attachment("a.txt", "text/plain", b"1"), Attachment("b.txt", "text/plain", b"2")
    assert attachments([Message("user", "x", (one,)), Message("user", "y", (one, two))]) == (one, two)
