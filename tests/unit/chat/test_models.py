"""Model names."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.chat.models import resolve
from relay.chat.request import ModelChoice
from relay.errors import UnknownModel
from relay.pool.face import Offer

AGENT = "cq3k1abcdefghij01234"
OFFERS = (
    Offer("kimi", "kimi", "k2d6-chat", "Kimi", default=True, aliases=("kimi-latest",), agents="[0-9a-z]{20}"),
    Offer("kimi/k3-agent", "kimi", "k3-agent", "K3", aliases=("kimi-k3", "kimi-thinking"), agents="[0-9a-z]{20}"),
    Offer("deep", "deep", "chat", "", default=True),
    Offer("deep/coder", "deep", "coder", ""),
    Offer("deep/deep-search", "deep", "deep-search", ""),
    Offer("other", "other", "chat", "", default=True),
    Offer("other/coder", "other", "coder", "", ready=False),
    Offer("hub", "hub", "org/Model-V4", "", default=True),
    Offer("gradio/app", "gradio", "", "App", default=True, account="app"),
    Offer("gradio/menu", "gradio", "", "Menu", default=True, account="menu"),
    Offer("gradio/menu/small", "gradio", "small", "", account="menu"),
    Offer("gradio", "gradio", "", "Gradio", default=True),
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("kimi", {"site": "kimi", "model": "k2d6-chat"}),
        ("KIMI", {"site": "kimi", "model": "k2d6-chat"}),
        ("kimi/k3-agent", {"site": "kimi", "model": "k3-agent"}),
        ("kimi/kimi-k3", {"site": "kimi", "model": "k3-agent"}),
        ("k3-agent", {"site": "kimi", "model": "k3-agent"}),
        ("kimi-k3", {"site": "kimi", "model": "k3-agent"}),
        ("kimi-thinking", {"site": "kimi", "model": "k3-agent"}),
        ("kimi-search", {"site": "kimi", "model": "k2d6-chat", "search": True}),
        ("kimi-research", {"site": "kimi", "model": "k2d6-chat", "research": True}),
        ("kimi-think-search", {"site": "kimi", "model": "k2d6-chat", "search": True, "thinking": True}),
        ("kimi-search-think", {"site": "kimi", "model": "k2d6-chat", "search": True, "thinking": True}),
        ("kimi-k3-silent-search", {"site": "kimi", "model": "k3-agent", "search": True, "silent": True}),
        ("kimi-silent_search", {"site": "kimi", "model": "k2d6-chat", "silent": True}),
        ("kimi-silent_search-think", {"site": "kimi", "model": "k2d6-chat", "silent": True, "thinking": True}),
        ("silent_search-kimi", {"site": "kimi", "model": "k2d6-chat", "silent": True}),
        ("kimi-Search", {"site": "kimi", "model": "k2d6-chat", "search": True}),
        (f"kimi/{AGENT}", {"site": "kimi", "model": "k2d6-chat", "agent": AGENT}),
        (AGENT, {"site": "kimi", "model": "k2d6-chat", "agent": AGENT}),
        (f"{AGENT}-search", {"site": "kimi", "model": "k2d6-chat", "agent": AGENT, "search": True}),
        ("deep", {"site": "deep", "model": "chat"}),
        ("deep-search", {"site": "deep", "model": "deep-search"}),  # an exact name wins before the suffix is cut
        ("deep-search-search", {"site": "deep", "model": "deep-search", "search": True}),
        ("deep/deep-search", {"site": "deep", "model": "deep-search"}),
        ("deep/coder-think", {"site": "deep", "model": "coder", "thinking": True}),
        ("coder", {"site": "deep", "model": "coder"}),  # of the two sites only one has an account
        ("hub/org/Model-V4", {"site": "hub", "model": "org/Model-V4"}),
        ("org/Model-V4", {"site": "hub", "model": "org/Model-V4"}),
        ("org/model-v4-search", {"site": "hub", "model": "org/Model-V4", "search": True}),
        ("gradio", {"site": "gradio", "model": ""}),
        ("gradio/app", {"site": "gradio", "model": "", "account": "app"}),
        ("gradio/app/anything", {"site": "gradio", "model": "anything", "account": "app"}),
        ("gradio/menu", {"site": "gradio", "model": "", "account": "menu"}),
        ("gradio/menu/small", {"site": "gradio", "model": "small", "account": "menu"}),
        ("small", {"site": "gradio", "model": "small", "account": "menu"}),
    ],
)
def test_names(name: str, expected: dict[str, object]) -> None:
    assert resolve(name, OFFERS) == replace(ModelChoice("", "", name), **expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "chat",  # two sites have it
        "-search",
        "silent_search",
        "kimi/",
        "/kimi",
        "kimi/nothing",
        "gradio/none",
        "gradio/menu/large",  # the menu is known, and has no such value
        AGENT.upper(),
        AGENT + "x",
        "x" * 100_000,
        "kimi\n",
    ],
)
def test_unknown(name: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        resolve(name, OFFERS)
    assert len(caught.value.message) < 500


def test_close_names_are_told() -> None:
    with pytest.raises(UnknownModel, match="kimi-k3"):
        resolve("kimi-k33", OFFERS)
    with pytest.raises(UnknownModel, match="deep/coder"):
        resolve("deep/zzzzzzzzzzzzzzzz", OFFERS)


def test_without_offers() -> None:
    with pytest.raises(UnknownModel):
        resolve("kimi", ())


PIECES = st.sampled_from(
    [
        "kimi",
        "deep",
        "gradio",
        "app",
        "menu",
        "/",
        "-",
        "-search",
        "-think",
        "-silent",
        "silent_search",
        AGENT,
        "Chat",
        "",
    ]
)


@given(st.text() | st.lists(PIECES, max_size=8).map("".join))
def test_any_text_is_a_choice_or_unknown(name: str) -> None:
    try:
        choice = resolve(name, OFFERS)
    except UnknownModel:
        return
    assert isinstance(choice, ModelChoice)
    assert choice.requested == name
    assert choice.site in {offer.site for offer in OFFERS}


SUFFIXES = {"-search": "search", "-think": "thinking", "-silent": "silent", "-research": "research"}


@given(st.sampled_from(["kimi", "kimi/k3-agent", "hub/org/Model-V4", AGENT]), st.lists(st.sampled_from(list(SUFFIXES))))
def test_any_combination_of_suffixes(base: str, suffixes: list[str]) -> None:
    plain = resolve(base, OFFERS)
    name = base + "".join(suffixes)
    if len(name) > 256:
        return
    got = resolve(name, OFFERS)
    assert (got.site, got.model, got.agent) == (plain.site, plain.model, plain.agent)
    for suffix, flag in SUFFIXES.items():
        assert getattr(got, flag) is (suffix in suffixes)


def test_names_on_offer_mean_themselves() -> None:
    for offer in OFFERS:
        choice = resolve(offer.id, OFFERS)
        assert (choice.site, choice.model) == (offer.site, offer.key)
        assert re.fullmatch(r"\w*", choice.account)
