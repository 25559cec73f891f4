"""Side calls of chat UIs: told from chats, and dealt with as RELAY_SIDE_CALLS says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from relay.api.keys import KeyFile
from relay.chat.events import ToolCall
from relay.chat.request import Attachment, Message
from relay.chat.side_calls import NO_TITLE, side_call, title_of
from relay.settings import Settings
from tests.api.conftest import Served
from tests.api.pool import ANSWER
from tests.api.raw import CHAT, error_of, parse
from tests.api.side_prompts import (
    CHAT as CONVERSATION,
)
from tests.api.side_prompts import (
    COMPLETION,
    FOLLOW_UPS,
    LIBRECHAT,
    LOBECHAT,
    NEXTCHAT,
    RAG,
    SIDE_CALLS,
    TAGS,
    TITLE,
    TITLE_2024,
    user,
)


@pytest.mark.parametrize(("messages", "kind", "answer"), SIDE_CALLS.values(), ids=SIDE_CALLS)
def test_what_is_one(messages: tuple[Message, ...], kind: str, answer: str) -> None:
    found = side_call(messages)
    assert found is not None and (found.kind, found.answer) == (kind, answer)


FILE = Attachment("a.txt", "text/plain", b"a")
CHATS = {
    "nothing": (),
    "a question": (user("Generate a title for my essay about bread, please."),),
    "a question of ours": (user("Generate a concise, 3-5 word title with an emoji summarizing the chat history."),),
    "documents": (user(RAG),),
    "words before": (user(f"What does this prompt do?\n\n{TITLE}"),),
    "a space before": (user(f" {TITLE}"),),
    "words after": (user(f"{TITLE}\n\nWhat does this prompt do?"),),
    "words after, 2024": (user(f"{TITLE_2024}\nIs that a good prompt?"),),
    "words after tags": (user(f"{TAGS} explain"),),
    "words after a completion": (user(f"{COMPLETION}\nWhy?"),),
    "quoted": (user("\n".join(f"> {line}" for line in TITLE.splitlines())),),
    "fenced": (user(f"```\n{TITLE}\n```"),),
    "without a history": (user(TITLE.partition("### Chat History")[0]),),
    "without its JSON": (user(TITLE.replace('"title"', "title")),),
    "another's JSON": (user(TAGS.replace('"tags"', '"title"')),),
    "its JSON in the history only": (user(TAGS.replace('"tags"', "tags").replace("USER: ", 'USER: "tags" ')),),
    "in other words": (user(FOLLOW_UPS.replace("3-5", "2-3")),),
    "another task": (user(TITLE.replace("Generate a concise, 3-5 word title", "Write a poem")),),
    "in a conversation": (*CONVERSATION, user(TITLE)),
    "with instructions": (Message("system", "Be brief."), user(TITLE)),
    "as instructions": (Message("system", TITLE), user("Hello")),
    "said by the model": (user("Hello"), Message("assistant", TITLE)),
    "with a file": (replace(user(TITLE), attachments=(FILE,)),),
    "earlier in a conversation": (user(TITLE), Message("assistant", "{}"), user("Thanks. And in French?")),
    "nextchat, more": (*CONVERSATION, user(f"{NEXTCHAT} In French.")),
    "nextchat, less": (*CONVERSATION, user(NEXTCHAT[:-1])),
    "nextchat, alone": (user(NEXTCHAT),),
    "nextchat, said by the model": (*CONVERSATION[:1], Message("assistant", NEXTCHAT)),
    "after calls": (replace(CONVERSATION[1], calls=(ToolCall("f", "{}"),)), user("Hi"), user(NEXTCHAT)),
    "lobechat, in a conversation": (Message("system", LOBECHAT), *CONVERSATION, user("And cake?")),
    "lobechat, more": (Message("system", f"{LOBECHAT}\n- Be funny"), user("user: Hello")),
    "lobechat, as a question": (user(LOBECHAT), user("user: Hello")),
    "librechat, quoted": (user(f'"{LIBRECHAT}"'),),
    "librechat, without a conversation": (user(LIBRECHAT.partition("\n\nConversation")[0]),),
}


@pytest.mark.parametrize("messages", CHATS.values(), ids=CHATS)
def test_what_is_none(messages: tuple[Message, ...]) -> None:
    assert side_call(messages) is None


@given(st.sampled_from(sorted(SIDE_CALLS)), st.data())
def test_one_other_character_at_the_beginning_is_another_prompt(name: str, data: st.DataObject) -> None:
    """In the words that tell it; the rest of a prompt is its UI's to change."""
    *before, last = SIDE_CALLS[name][0]
    place = -1 if "lobechat" not in name else 0
    whole = [*before, last]
    text = whole[place].text
    at = data.draw(st.integers(0, 60))
    other = data.draw(st.characters().filter(lambda character: character != text[at]))
    whole[place] = replace(whole[place], text=text[:at] + other + text[at + 1 :])
    assert side_call(whole) is None
    whole[place] = replace(whole[place], text=text[:at] + text[at + 1 :])
    assert side_call(whole) is None or text[at + 1] == text[at]


@given(st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), st.text()), max_size=4))
def test_anything_else_is_a_chat(said: list[tuple[Any, str]]) -> None:
    assert side_call([Message(role, text) for role, text in said]) is None


@given(st.text())
def test_a_history_may_hold_anything(text: str) -> None:
    """Its answer is what the UI can read, whatever was said."""
    history = TITLE.replace("How do I bake bread?", text)
    found = side_call((user(history),))
    assert found is not None
    assert 0 < len(json.loads(found.answer)["title"]) <= 40


# Titles


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("How do I bake bread?", "How do I bake bread"),
        ("  \n\n## **Bread**: how?\nmore", "Bread : how"),
        ("one two three four five six seven", "one two three four five six"),
        ("怎么做面包？", "怎么做面包"),
        ("长" * 100, "长" * 40),
        ("an " + "x" * 100, "an"),
        ("", NO_TITLE),
        ("***\n---", "---"),
        ("?!", NO_TITLE),
        ("`a\x00b`", "a\x00b"),
    ],
)
def test_titles(said: str, title: str) -> None:
    assert title_of(said) == title


@given(st.text())
def test_a_title_is_one_short_line(said: str) -> None:
    title = title_of(said)
    assert 0 < len(title) <= 40 and len(title.splitlines()) == 1


# The setting


def asking(messages: tuple[Message, ...], **fields: Any) -> dict[str, Any]:
    said = [{"role": message.role, "content": message.text} for message in messages]
    return {"model": "demo/echo", "messages": said, **fields}


@pytest.mark.parametrize("name", SIDE_CALLS)
@pytest.mark.parametrize("stream", [True, False])
def test_local(serve: Callable[..., Served], name: str, stream: bool) -> None:
    messages, _, expected = SIDE_CALLS[name]
    served = serve(side_calls="local")
    with served.client() as http:
        answer = http.post(CHAT, json=asking(messages, stream=stream))
        assert answer.status_code == 200, answer.text
        said = parse(answer.text).content if stream else answer.json()["choices"][0]["message"]["content"]
        assert said == expected
        assert answer.headers["x-relay-site"] == "relay"
        assert served.pool.chats == []
        assert http.post(CHAT, json=asking(CONVERSATION[:1])).status_code == 200
        assert len(served.pool.chats) == 1


def test_local_answers_need_a_key_and_a_model_too(serve: Callable[..., Served]) -> None:
    served = serve(side_calls="local")
    key, stored = KeyFile(served.settings.home).create(sites=["demo"], concurrency=1)
    mine = {"authorization": f"Bearer {key}"}
    with served.client() as http:
        error_of(http.post(CHAT, json=asking((user(TITLE),))), 401, "invalid_api_key")
        error_of(http.post(CHAT, json=asking((user(TITLE),), model="nothing"), headers=mine), 404, "model_not_found")
        error_of(http.post(CHAT, json=asking((user(TITLE),), model="kimi"), headers=mine), 403, "site_not_allowed")
        assert http.post(CHAT, json=asking((user(TITLE),)), headers=mine).status_code == 200
    assert stored.id not in served.app.state.key_usage.counts, "no account was used"


def test_refused(serve: Callable[..., Served]) -> None:
    served = serve(side_calls="refuse")
    with served.client() as http:
        error = error_of(http.post(CHAT, json=asking((user(TAGS),))), 400, "invalid_request")
        assert "tags" in error["message"] and "RELAY_SIDE_CALLS" in error["message"]
        assert served.pool.chats == []
        assert http.post(CHAT, json=asking(CONVERSATION[:1])).status_code == 200


def test_another_model(serve: Callable[..., Served]) -> None:
    served = serve(side_calls="model:demo")
    with served.client() as http:
        answer = http.post(CHAT, json=asking((user(TITLE),))).json()
        assert answer["choices"][0]["message"]["content"] == ANSWER
        assert answer["model"] == "demo/echo", "what the client knows it by"
        assert served.pool.last.request.choice.model == "demo"
        http.post(CHAT, json=asking(CONVERSATION[:1]))
        assert served.pool.last.request.choice.model == "echo"


def test_by_default_it_is_a_chat(serve: Callable[..., Served]) -> None:
    served = serve()
    with served.client() as http:
        answer = http.post(CHAT, json=asking((user(TITLE),))).json()
    assert answer["choices"][0]["message"]["content"] == f"user: {TITLE}\n"


def test_a_request_with_tools_is_a_chat(serve: Callable[..., Served]) -> None:
    served = serve(side_calls="refuse")
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    with served.client() as http:
        assert http.post(CHAT, json=asking((user(TITLE),), tools=[tool])).status_code == 200
    assert len(served.pool.chats) == 1


@pytest.mark.parametrize(("conversation", "status"), [("conv-1", 200), ("none", 400), ("", 400)])
def test_in_a_conversation_it_is_a_chat(serve: Callable[..., Served], conversation: str, status: int) -> None:
    with serve(side_calls="refuse").client() as http:
        asked = http.post(CHAT, json=asking((user(TITLE),), conversation_id=conversation))
    assert asked.status_code == status


@pytest.mark.parametrize("wrong", ["", "no", "model:", "model: x", "Local", "local,chat"])
def test_other_settings_are_refused(wrong: str) -> None:
    with pytest.raises(ValidationError):
        Settings(_env_file=None, side_calls=wrong)
