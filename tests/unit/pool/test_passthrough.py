"""Accounts made of callers' tokens: which are made, found, spared and let go. No browser: none is opened."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio

from relay.chat.request import ChatRequest, Message, ModelChoice
from relay.errors import BadRequest, ChallengeNeeded, LoginNeeded, QueueFull
from relay.pool.account import Account, State
from relay.pool.brought import FATES, MAX_REMEMBERED, REMEMBER_S, Brought, Verdicts, fate
from relay.pool.browsers import Browsers
from relay.pool.conversations import Conversations
from relay.pool.leases import Leases
from relay.pool.passthrough import SiteTokens
from relay.pool.rows import ConversationRow
from relay.pool.store import Store
from relay.pool.token_account import TokenAccount, TokenProfile
from relay.settings import PassthroughSettings, Settings
from relay.sites.base import SiteConfig
from relay.sites.demo.site import Demo


def token(number: int) -> str:
    """In the shape of the demo site's."""
    return f"c2Vzc2lvbi1vZi1zb21lYm9keQ{number:04}.{number:064x}"


class Ground:
    """The dispatcher's part."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.leases = cast(Leases, None)
        self.waiting: set[str] = set()
        self.left: list[str] = []

    def wanted(self) -> set[str]:
        return self.waiting

    def gone(self, account: Account) -> None:
        self.left.append(account.name)


class Bed:
    """Tokens on a ground, with a store."""

    def __init__(self, home: Path, store: Store, most: int) -> None:
        self.ground = Ground()
        self.store = store
        settings = Settings(_env_file=None, home=home, passthrough=PassthroughSettings(max_accounts=most))
        self.tokens = SiteTokens(self.ground, settings, Browsers(settings), lambda *_: None)
        self.talks = Conversations(store)
        self.tokens.start(store, self.talks)

    def enter(self, *numbers: int, model: str = "demo") -> Brought:
        choice = ModelChoice("demo", model, model)
        brought = tuple(token(number) for number in numbers)
        return self.tokens.enter(ChatRequest("r", choice, (Message("user", "hi"),), "c", tokens=brought))

    def account(self, number: int) -> TokenAccount:
        (name,) = self.enter(number).accounts
        return cast(TokenAccount, self.tokens.accounts[f"demo/{name}"])

    async def settled(self) -> None:
        """Until what was let go is closed."""
        async with asyncio.timeout(10):
            while self.tokens._leaving:  # noqa: ASYNC110  (nothing tells us)
                await asyncio.sleep(0)


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "relay.db")
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def bed(tmp_path: Path, store: Store) -> AsyncIterator[Bed]:
    made = Bed(tmp_path, store, 3)
    yield made
    made.tokens.stop()


# What is told


def test_fates() -> None:
    assert fate(["expired"]) == "The token has expired"
    assert fate(["expired", "guest"]) == "Token 1 of 2 has expired, token 2 of 2 is only a guest's"
    many = fate(["expired"] * 100)
    assert "token 10 of 100 has expired, and 90 more do not live" in many
    assert len(many) < 500
    for reason in FATES:
        assert fate([reason])


def test_verdicts_are_believed_for_a_while() -> None:
    now = 100.0
    verdicts = Verdicts(lambda: now)
    assert verdicts.on(b"a") is None
    verdicts.note(b"a", "")
    verdicts.note(b"b", "expired")
    assert (verdicts.on(b"a"), verdicts.on(b"b")) == ("", "expired")
    now += REMEMBER_S
    assert (verdicts.on(b"a"), verdicts.on(b"b")) == (None, None)
    for number in range(MAX_REMEMBERED + 5):
        verdicts.note(str(number).encode(), "")
    assert (verdicts.on(b"4"), verdicts.on(b"5")) == (None, "")


def test_a_profile_without_files(tmp_path: Path) -> None:
    profile = TokenProfile("demo", "~3fa9c1", tmp_path / "demo" / "~3fa9c1")
    assert profile.load() is None
    state: dict[str, Any] = {"cookies": [{"name": "s", "value": "secret \ud800"}], "origins": []}
    profile.save(state)
    state["cookies"].clear()
    assert json.dumps(profile.load()).count("secret") == 1
    assert "secret" not in repr(profile)
    assert (profile.stamp(), list(tmp_path.iterdir())) == (0, [])


# Which accounts there are


async def test_a_token_is_found_again(bed: Bed) -> None:
    first, again = bed.enter(1), bed.enter(1)
    assert first.accounts == again.accounts
    assert bed.enter(1, 1, 2).accounts[0] == first.accounts[0]
    assert len(bed.tokens.accounts) == 2
    (name,) = first.accounts
    assert name.startswith("~")
    for said in (repr(bed.tokens), repr(bed.account(1)), repr(bed.account(1).pages), name):
        assert token(1)[:20] not in said
        assert token(1)[-20:] not in said


async def test_no_request_shows_its_tokens() -> None:
    request = ChatRequest("r", ModelChoice("demo", "", "demo"), (), tokens=(token(1),))
    assert token(1) not in repr(request)


async def test_another_process_has_other_names(tmp_path: Path, store: Store, bed: Bed) -> None:
    other = Bed(tmp_path, store, 3)
    assert other.enter(1).accounts != bed.enter(1).accounts
    other.tokens.stop()


async def test_names_are_as_long_as_they_must_be(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bed.tokens, "_digest", lambda site, address, token: b"same-" + token[-32:].encode().ljust(32))
    names = {bed.account(number).profile.account for number in (1, 2, 3)}
    assert len(names) == 3


async def test_the_least_recently_used_makes_room(bed: Bed) -> None:
    accounts = [bed.account(number) for number in (1, 2, 3)]
    for account, used_at in zip(accounts, (30.0, 10.0, 20.0), strict=True):
        account.used_at = used_at
    bed.enter(4)
    assert accounts[1].name not in bed.tokens.accounts
    await bed.settled()
    assert bed.ground.left == [accounts[1].name]
    assert len(bed.tokens.accounts) == 3


async def test_who_is_busy_or_waited_for_stays(bed: Bed) -> None:
    first, second, third = (bed.account(number) for number in (1, 2, 3))
    first.started("demo")
    bed.ground.waiting = {second.name}
    bed.enter(4)
    assert third.name not in bed.tokens.accounts
    fourth = bed.account(4)
    bed.ground.waiting.add(fourth.name)
    with pytest.raises(QueueFull) as full:
        bed.enter(5)
    assert full.value.code == "queue_full"
    assert "RELAY_PASSTHROUGH__MAX_ACCOUNTS" in full.value.message
    first.ended()
    await bed.settled()
    assert bed.enter(5).accounts


async def test_many_tokens_push_out_one_account_at_most(bed: Bed) -> None:
    kept = [bed.account(number) for number in (1, 2)]
    brought = bed.enter(*range(10, 60))
    assert len(brought.accounts) == 1  # the third place was free
    assert all(account.name in bed.tokens.accounts for account in kept)
    brought = bed.enter(*range(60, 99))
    assert len(brought.accounts) == 1
    assert len(bed.tokens.accounts) == 3


async def test_a_use_is_a_chat(bed: Bed) -> None:
    account = bed.account(1)
    account.used_at = 5.0
    account.running += 1  # as a chore does
    account.ended()
    assert account.used_at == 5.0
    account.started("demo")
    account.started("demo")
    account.ended()
    account.ended()
    assert account.used_at > 5.0


# The dead


async def test_the_dead_are_passed_over_and_remembered(bed: Bed) -> None:
    dead = bed.account(1)
    dead.park(State.LOGIN_NEEDED, "the login has expired", "expired")
    assert dead.name not in bed.tokens.accounts
    assert len(bed.enter(1, 2).accounts) == 1
    with pytest.raises(LoginNeeded, match=r"Demo: The token has expired\. Bring a new one\."):
        bed.enter(1)
    bed.account(2).park(State.LOGIN_NEEDED, "", "guest")
    with pytest.raises(LoginNeeded, match="Token 1 of 2 has expired, token 2 of 2 is only a guest's"):
        bed.enter(1, 2)
    bed.account(3).park(State.CHALLENGED, "", "challenge")
    with pytest.raises(ChallengeNeeded):
        bed.enter(3)
    await bed.settled()
    assert bed.tokens.accounts == {}
    assert not await bed.tokens.check(token(1), "demo")  # known, so nobody is asked
    with pytest.raises(ChallengeNeeded):
        await bed.tokens.check(token(3), "demo")


async def test_what_is_no_token_is_not_asked_about(bed: Bed) -> None:
    for odd in ("", "x", token(1) + ",", f"{token(1)}\n", "\x00", "é" * 70):
        assert not await bed.tokens.check(odd, "demo")
    with pytest.raises(BadRequest):
        await bed.tokens.check("ada:lovelace", "gradio")
    assert bed.tokens.accounts == {}


# The address


async def test_the_owners_address_is_the_tokens(bed: Bed) -> None:
    def owned(name: str, address: str) -> None:
        site = Demo(SiteConfig(name, address))
        profile = TokenProfile("demo", name, Path(name))
        pages = bed.account(1).pages
        account = Account(profile, site, 1, pages, bed.account(1).pace, bed.store, profile.lock())
        bed.ground.accounts[f"demo/{name}"] = account

    assert bed.account(1).site.home == Demo.address
    owned("a", "http://127.0.0.1:1/")
    assert bed.account(2).site.home == "http://127.0.0.1:1/"
    owned("b", "http://127.0.0.1:2/")
    with pytest.raises(BadRequest, match="several addresses"):
        bed.enter(3)


# On disk


def written(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir() if file.is_file())


async def test_nothing_is_written(bed: Bed, tmp_path: Path) -> None:
    account = bed.account(1)
    account.park(State.LOGIN_NEEDED, "the login has expired", "expired")
    bed.store.save_account("demo/own", "login_needed", "", "expired")
    bed.store.add_start(account.name, "demo")
    bed.store.save_cooldown(account.name, "demo", 9e9, "limited", 1)
    bed.talks.create(ConversationRow("demo", account.profile.account, "c1", "caller", "", 1.0, 1.0))
    await bed.store.flush()
    assert b"demo/own" in written(tmp_path)
    assert account.profile.account.encode() not in written(tmp_path)
    assert not (tmp_path / "browser_profiles").exists()
