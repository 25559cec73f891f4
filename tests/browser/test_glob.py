"""Address globs of `tab.traffic`."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from relay.browser.traffic import glob

SEGMENT = st.text("abc.-_~%+(", min_size=1, max_size=6)


@given(st.lists(SEGMENT, min_size=1, max_size=4), SEGMENT, st.sampled_from(["", "?a=/b", "#top"]))
def test_stars(path: list[str], extra: str, tail: str) -> None:
    url = "https://site.test/" + "/".join(path)
    assert glob(url).match(url + tail)
    assert glob("**/" + path[-1]).match(url + tail)
    assert glob("https://site.test/**").match(url + tail)
    assert not glob(url).match(f"{url}/{extra}")
    one = glob("https://site.test/*")
    assert bool(one.match(url + tail)) == (len(path) == 1)
    assert not glob(url).match("x" + url)


@given(st.text(max_size=30))
def test_literal_text_matches_itself_only(text: str) -> None:
    plain = re.sub(r"[*?#]", "", text)
    assert glob(plain).match(plain)
    assert not glob(plain).match(plain + "x")


def test_a_query_is_matched_when_named() -> None:
    assert glob("**/chat?stream=*").match("https://site.test/chat?stream=1")
    assert not glob("**/chat?stream=*").match("https://site.test/chat")
    assert not glob("**/chat").match("https://site.test/chats")


def test_what_a_query_contains_never_matches() -> None:
    assert not glob("**/chat").match("https://tracker.test/hit?page=/chat")
    assert not glob("**/chat").match("https://site.test/page#/chat")
    assert glob("**/hit?page=**chat").match("https://tracker.test/hit?page=/a/chat")
