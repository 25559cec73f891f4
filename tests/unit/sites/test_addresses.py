"""Which conversation an address shows."""

import pytest

from relay.sites.base import ScreenRecipe
from relay.sites.drivers import shown_at


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
