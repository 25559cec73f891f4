"""Which conversation an address shows, and what it tells of an answer that does not say whose it is."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from relay.browser.tab import Tab
from relay.chat.events import Event, Finished, Started, Text, Turned
from relay.sites.base import ScreenRecipe
from relay.sites.drivers import named, shown_at

RECIPE = ScreenRecipe(conversation="/a/chat/s/{id}")


@pytest.mark.parametrize(
    ("pattern", "address", "conversation"),
    [
        ("/chat/{id}", "https://www.kimi.com/chat/d1-2?from=home#end", "d1-2"),
        ("/chat/{id}", "https://www.kimi.com/?chat_enter_method=new_chat", ""),
        ("/chat/{id}", "https://www.kimi.com/chat/", ""),
        ("/chat/{id}", "https://www.kimi.com/chat/a/b", ""),
        ("/chat/{id}", "https://www.kimi.com/my/chat/a", ""),
        ("/chat/{id}", "https://www.kimi.com/chat/a%2Fb", "a/b"),
        ("https://a.example/c.1/{id}/show", "https://a.example/c.1/x/show", "x"),
        ("https://a.example/c.1/{id}/show", "https://a.example/c-1/x/show", ""),
        ("", "https://a.example/x", ""),
        ("/chat/{id}", "about:blank", ""),
    ],
)
def test_shown_at(pattern: str, address: str, conversation: str) -> None:
    assert shown_at(address, ScreenRecipe(conversation=pattern)) == conversation


class Shown(Tab):
    """A page that is at an address."""

    def __init__(self, url: str) -> None:
        self.at = url

    @property
    def url(self) -> str:
        return self.at

    async def evaluate(self, code: str, *arguments: Any, **options: Any) -> Any:
        return self.at


async def told(events: list[Event], addresses: dict[int, str]) -> list[Event]:
    """The events once they are named; before the n-th the page goes to an address."""
    tab = Shown("https://a.example/")

    async def answer() -> AsyncGenerator[Event, None]:
        for number, event in enumerate(events):
            tab.at = addresses.get(number, tab.at)
            yield event

    return [event async for event in named(answer(), RECIPE, tab)]


async def test_the_page_names_an_answer_that_does_not_name_itself() -> None:
    answer: list[Event] = [Turned("", "2"), Text("A"), Text("B"), Finished()]
    here = "https://a.example/a/chat/s/s-1"
    whole = [Started("s-1"), Turned("s-1", "2"), Text("A"), Text("B"), Finished()]
    assert await told(answer, {0: here}) == whole
    assert await told(answer, {1: here}) == whole
    late = await told(answer, {3: here})
    assert late == [Text("A"), Text("B"), Started("s-1"), Turned("s-1", "2"), Finished()]
    assert await told(answer, {}) == [Text("A"), Text("B"), Finished()]


async def test_an_answer_that_names_itself_is_believed() -> None:
    answer: list[Event] = [Started("own"), Turned("own", "2"), Text("A"), Finished()]
    assert await told(answer, {0: "https://a.example/a/chat/s/other"}) == answer
