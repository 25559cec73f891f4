"""An account's states: what puts it out of service, what brings it back, and what a restart remembers."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import pytest_asyncio

from relay.browser.tab import Tab
from relay.chat.events import Quota
from relay.errors import (
    AccountBanned,
    ChallengeNeeded,
    CutAnswer,
    LoginNeeded,
    NoAccount,
    RateLimited,
    RelayError,
    SiteUnavailable,
)
from relay.pool import account as module
from relay.pool.account import Account, State
from relay.pool.browsers import Browsers
from relay.pool.face import OWNER_NEEDED, REASONS, AccountStatus
from relay.pool.pages import Slot
from relay.pool.profiles import Profile
from relay.pool.store import Store
from relay.settings import Settings
from relay.sites.base import Login, LoginState

FOUND = {
    LoginState.LIVE: (State.READY, "", None),
    LoginState.GUEST: (State.LOGIN_NEEDED, "guest", LoginNeeded),
    LoginState.DEAD: (State.LOGIN_NEEDED, "expired", LoginNeeded),
    LoginState.CHALLENGED: (State.CHALLENGED, "challenge", ChallengeNeeded),
    LoginState.BANNED: (State.BROKEN, "banned", AccountBanned),
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(_env_file=None, home=tmp_path, port=9999)


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    made = await Store.open(tmp_path / "relay.db")
    yield made
    await made.close()


@pytest.fixture
def told() -> list[AccountStatus]:
    """What the owner was told."""
    return []


@pytest.fixture
def made(settings: Settings, store: Store, told: list[AccountStatus]) -> Account:
    return load(settings, store, told)


def load(settings: Settings, store: Store, told: list[AccountStatus] | None = None) -> Account:
    """The account of a folder with a login."""
    folder = settings.profiles / "demo" / "ann"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "state.json").exists():
        (folder / "state.json").write_text('{"cookies": [], "origins": []}')
    on_parked = told.append if told is not None else lambda _: None
    loaded = Account.load(
        Profile("demo", "ann", folder), settings, Browsers(settings), store, lambda *_: None, on_parked
    )
    name = loaded.name
    loaded.restore(store.accounts().get(name), store.cooldowns().get(name, {}), store.starts().get(name, []))
    return loaded


async def reopened(store: Store, settings: Settings) -> Account:
    """The account after a restart."""
    await store.flush()
    again = await Store.open(store.file)
    try:
        return load(settings, again)
    finally:
        await again.close()


def kind(error: RelayError | None) -> type[RelayError] | None:
    return None if error is None else type(error)


@pytest.mark.parametrize("state", FOUND)
async def test_what_a_probe_finds(made: Account, told: list[AccountStatus], state: LoginState) -> None:
    became, reason, error = FOUND[state]
    for _ in range(2):
        made.take(Login(state, "Ann", "why it is so"))
    assert (made.state, made.reason, kind(made.refusal(""))) == (became, reason, error)
    status = made.status()
    assert (status.state, status.reason) == (became.value, reason)
    assert (status.since is None) == (not reason)
    assert [one.reason for one in told] == ([reason] if reason else []), "the owner is told once"
    assert reason in ("", *REASONS)
    assert not reason or reason in OWNER_NEEDED


async def test_it_knows_the_newest_of_each_limit(made: Account) -> None:
    now = time.time()
    short, long = Quota("5h", 0.1, now + 60), Quota("7d", 0.5, now + 600)
    made.take(Login(LoginState.LIVE, quotas=(short, long)))
    assert made.status().quotas == (short, long)
    made.noted(newer := Quota("5h", 0.2, now + 60))
    made.noted(unknown := Quota("other"))
    assert made.status().quotas == (newer, long, unknown)
    made.noted(Quota("5h", 1.0, now - 1))
    assert made.status().quotas == (long, unknown), "it has begun anew since, and nobody said how far it is"


async def test_a_refusal_says_what_to_do(made: Account) -> None:
    made.take(Login(LoginState.DEAD))
    error = made.refusal("")
    assert error is not None
    assert "`relay login demo --account ann`, or at http://127.0.0.1:9999/admin." in error.message
    made.lent_at = time.monotonic()
    assert kind(made.refusal("")) is NoAccount
    assert made.status().reason == "lent"


@pytest.mark.parametrize("state", [state for state in FOUND if state is not LoginState.LIVE])
async def test_a_restart_remembers_until_somebody_writes_a_login(
    made: Account, settings: Settings, store: Store, state: LoginState
) -> None:
    made.take(Login(state, detail="so it is"))
    made.lock.release()
    again = await reopened(store, settings)
    assert (again.state, again.reason, again.why) == (made.state, made.reason, "so it is.")
    again.lock.release()
    ahead = time.time() + 5
    os.utime(made.profile.state_file, (ahead, ahead))
    third = await reopened(store, settings)
    assert (third.state, third.reason) == (State.NEW, "")
    third.lock.release()


async def test_a_parked_account_stays_so_whatever_is_written(made: Account, settings: Settings, store: Store) -> None:
    made.park(State.DISABLED, "parked by its owner", "parked")
    os.utime(made.profile.state_file, (1, 1))
    made.notice_login()
    assert made.reason == "parked"
    made.lock.release()
    again = await reopened(store, settings)
    assert again.reason == "parked"
    again.resume()
    assert (again.state, again.reason, again.refusal("")) == (State.NEW, "", None)
    again.lock.release()


async def test_a_new_login_is_noticed(made: Account, told: list[AccountStatus]) -> None:
    made.take(Login(LoginState.DEAD))
    made.notice_login()
    assert made.state.value == "login_needed", "nothing was written"
    os.utime(made.profile.state_file, (1, 1))
    made.notice_login()
    assert made.state.value == "new"
    assert len(told) == 1


async def test_who_rests_is_resumed_with_its_new_login(made: Account) -> None:
    made.take(Login(LoginState.LIVE))
    made.rest("demo", RateLimited("Too many.", retry_after_s=600))
    login = made.pages.login
    made.resume()
    assert (made.state.value, made.pages.login) == ("ready", login), "nothing was written"
    assert made.refusal("demo") is None
    os.utime(made.profile.state_file, (1, 1))
    made.resume()
    assert (made.state.value, made.pages.login) == ("new", login + 1)


async def test_a_page_of_an_earlier_login_tells_nothing_of_the_new_one(
    made: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def probe(_: Tab) -> Login:
        return Login(LoginState.DEAD)

    monkeypatch.setattr(made.site, "probe", probe)
    slot = Slot(tab=cast(Tab, SimpleNamespace()), login=made.pages.login)
    made.pages.forget_login()  # its owner has written another
    await made.check(slot)
    assert made.state.value == "new"
    slot.login = made.pages.login
    await made.check(slot)
    assert made.state.value == "login_needed"


async def test_a_page_that_goes_on_while_it_is_asked_is_asked_again(
    made: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page's own script may take it to its login in the middle of the question; twice is a fault of the site."""
    answers: list[Login | CutAnswer] = [CutAnswer("The page went on."), Login(LoginState.DEAD)]

    async def probe(_: Tab) -> Login:
        answer = answers.pop(0)
        if isinstance(answer, CutAnswer):
            raise answer
        return answer

    monkeypatch.setattr(made.site, "probe", probe)
    slot = Slot(tab=cast(Tab, SimpleNamespace()), login=made.pages.login)
    assert (await made.check(slot)).state is LoginState.DEAD
    assert (made.state.value, made.site_failures) == ("login_needed", 0)
    answers[:] = [CutAnswer("The page went on."), CutAnswer("The page went on again.")]
    with pytest.raises(CutAnswer, match="again"):
        await made.check(slot)
    assert not answers
    assert made.site_failures == 1


async def test_a_site_that_is_down_rests_by_itself(made: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now, time=lambda: 1_000_000 + now))
    down = SiteUnavailable("The site answered HTTP 503.")
    for _ in range(module.SITE_FAILURES - 1):
        made.missed_site(down)
        assert made.refusal("demo") is None
    made.missed_site(down)
    error = made.refusal("demo")
    assert kind(error) is SiteUnavailable
    assert error is not None
    assert error.retry_after_s == module.FIRST_SITE_REST_S
    assert (made.status().state, made.status().reason) == ("cooling", "site_down")
    assert made.status().until == 1_000_000 + now + module.FIRST_SITE_REST_S
    rests: list[Any] = []
    for _ in range(8):
        now += module.LONGEST_SITE_REST_S
        assert made.refusal("demo") is None, "it is tried again"
        made.missed_site(down)
        rests.append(made.cooling[""].until - now)
    assert rests == [10, 20, 40, 80, 120, 120, 120, 120]
    made.proved("demo")
    assert made.status().reason == ""
    made.missed_site(down)
    assert made.refusal("demo") is None, "an answer in between: counted anew"


async def test_a_limit_is_no_fault_of_the_site(made: Account) -> None:
    made.rest("demo", RateLimited("Slow down.", retry_after_s=30))
    assert kind(made.refusal("demo")) is RateLimited
    assert made.refusal("other") is None
    assert made.status().reason == "rate_limited"


async def test_two_processes_and_damaged_files(made: Account, settings: Settings, store: Store) -> None:
    second = load(settings, store)
    assert (second.state, second.reason) == (State.BROKEN, "elsewhere")
    made.lock.release()
    (made.profile.folder / "account.toml").write_text("label = [")
    broken = load(settings, store)
    assert (broken.state, broken.reason) == (State.BROKEN, "damaged")
    broken.lock.release()
    (made.profile.folder / "account.toml").write_text("disabled = true")
    off = load(settings, store)
    assert (off.state, off.reason) == (State.DISABLED, "disabled")
    off.lock.release()


async def test_waiting_until_nothing_runs(made: Account) -> None:
    await made.drained()
    made.started("demo")
    made.started("demo")
    made.ended()
    assert made.running == 1
    made.ended()
    await made.drained()
