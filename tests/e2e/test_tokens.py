"""Site tokens that callers bring: nobody else's chats, nothing on disk, found again, and gone when unused."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from relay.browser.chromium import Chromium
from relay.errors import BadRequest, LoginNeeded
from relay.pool.passthrough import adopted_state
from relay.settings import BrowserSettings
from relay.sites.base import LoginState, SiteConfig
from relay.sites.demo.site import Demo
from relay.sites.gradio.site import Gradio
from relay.sites.kimi.site import Kimi
from tests.e2e.relay_server import RelayServer
from tests.e2e.token_town import OWNER, Town, asked, checked, contexts, error_of, left_behind, text_of
from tests.replicas import Answer, Fault, Replicas, Scenario
from tests.replicas.kimi import login

FIFTY = 50


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    with Town(FIFTY + 30) as made:
        yield made


@pytest.fixture(scope="module")
def used() -> list[str]:
    """Every token that was brought to `warm`."""
    return []


@pytest.fixture(scope="module")
def warm(town: Town, replicas: Replicas, used: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A relay without keys that keeps tokens warm; in the end nothing of them may be left."""
    relay = town.server(
        tmp_path_factory.mktemp("warm") / "home",
        RELAY_BROWSER__MAX_OPEN_TABS="6",
        RELAY_BROWSER__DIRECT_CDP="true",
        RELAY_BROWSER__HOST_RULES=replicas.host_rules,
        RELAY_BROWSER__TRUSTED_SPKI=replicas.spki,
        RELAY_KEEPER__DELETE_GAP_S="0.2",
    )
    with relay:
        yield relay
        log = relay.log
        assert left_behind(relay, log, used) == []
    assert left_behind(relay, relay.log, used) == []
    assert not [path for path in relay.home.rglob("*") if "~" in path.name]


@pytest.fixture
def bring(town: Town, used: list[str]) -> Callable[[str], str]:
    """The token of a user, noted as brought."""

    def token(user: str) -> str:
        used.append(town.token(user))
        return used[-1]

    return token


def said(question: str, answer: httpx.Response) -> list[dict[str, str]]:
    """A history to go on from."""
    return [{"role": "user", "content": question}, {"role": "assistant", "content": text_of(answer)}]


async def accounts_shown(relay: RelayServer) -> list[str]:
    """What `/health` and `/metrics` name."""
    async with httpx.AsyncClient(base_url=relay.url, trust_env=False) as client:
        told = (await client.get("/health")).json()["accounts"]
        measured = (await client.get("/metrics")).text
        models = (await client.get("/v1/models")).text
    assert "~" not in measured
    assert "~" not in models
    return [f"{one['site']}/{one['account']}" for one in told]


async def test_fifty_at_once(town: Town, warm: RelayServer, bring: Callable[[str], str]) -> None:
    users = town.users[:FIFTY]
    tokens = {user: bring(user) for user in users}
    before = await contexts(warm)
    first = await asyncio.gather(*(asked(warm, tokens[user], f"mark-{user}-one") for user in users))
    for user, answer in zip(users, first, strict=True):
        assert set(re.findall(r"mark-(user\d\d)", text_of(answer))) == {user}
    made = await contexts(warm)
    assert len(made - before) == FIFTY, "one context for each token"
    # Kept warm: the second request finds the context, and goes on with the conversation.
    some = users[::4]
    second = await asyncio.gather(
        *(
            asked(warm, tokens[user], f"mark-{user}-two", earlier=said(f"mark-{user}-one", first[users.index(user)]))
            for user in some
        )
    )
    assert await contexts(warm) == made
    for user, one, two in zip(some, first[::4], second, strict=True):
        assert set(re.findall(r"mark-(user\d\d)", text_of(two))) == {user}
        assert two.json()["conversation_id"] == one.json()["conversation_id"]
        assert town.heard(user) == [[f"mark-{user}-one", f"mark-{user}-two"]]
    assert [town.heard(user) for user in users if user not in some] == [
        [[f"mark-{user}-one"]] for user in users if user not in some
    ]
    assert town.heard(OWNER) == []
    assert await accounts_shown(warm) == [f"demo/{OWNER}"]


async def test_the_owners_requests_use_the_owner(town: Town, warm: RelayServer, bring: Callable[[str], str]) -> None:
    token = bring("user51")
    assert "from-a-caller" in text_of(await asked(warm, token, "from-a-caller"))
    for bearer in ("", "anything", "sk-not-a-token", "eyJhbGciOi.eyJzdWIiOi.c2lnbmF0dXJl", "a,b,,c"):
        assert "from-the-owner" in text_of(await asked(warm, bearer, "from-the-owner"))
    assert town.heard("user51") == [["from-a-caller"]]
    assert town.heard(OWNER) == [["from-the-owner"]] * 5


async def test_nobody_goes_on_with_anothers_conversation(
    town: Town, warm: RelayServer, bring: Callable[[str], str]
) -> None:
    mine, other = bring("user52"), bring("user53")
    answer = await asked(warm, mine, "mine")
    names = (answer.json()["id"], answer.json()["conversation_id"])
    for bearer in (other, f"{other},{mine}", "anything"):
        for name in names:
            assert error_of(await asked(warm, bearer, "go on", conversation_id=name))[:2] == (
                404,
                "conversation_not_found",
            )
        # The same history, too, is another's: a new conversation.
        again = await asked(warm, bearer, "more", earlier=said("mine", answer))
        assert again.json()["conversation_id"] not in names
    assert (await asked(warm, mine, "on", conversation_id=names[1])).json()["conversation_id"] == names[1]


async def test_the_dead_among_the_living(town: Town, warm: RelayServer, bring: Callable[[str], str]) -> None:
    dead, alive = bring("user54"), bring("user55")
    town.end(dead)
    for _ in range(3):
        assert "hello" in text_of(await asked(warm, f"{dead},{alive}", "hello"))
    assert len(town.heard("user55")) == 3
    assert town.heard("user54") == []
    since = len(warm.log)
    status, code, message = error_of(await asked(warm, dead, "hello"))
    assert (status, code) == (503, "login_needed")
    assert "The token has expired" in message
    assert dead not in message
    assert "demo refused" not in warm.log[since:]


async def test_all_dead(town: Town, warm: RelayServer, bring: Callable[[str], str]) -> None:
    dead = [bring(user) for user in ("user56", "user57", "user58")]
    for token in dead:
        town.end(token)
    for _ in range(2):  # found out by trying, then remembered
        answer = await asked(warm, ", ".join(dead), "hello")
        status, code, message = error_of(answer)
        assert (status, code) == (503, "login_needed")
        assert "Token 1 of 3 has expired, token 2 of 3 has expired, token 3 of 3 has expired" in message
        assert not any(token in answer.text for token in dead)
        assert answer.headers["x-should-retry"] == "false"


async def test_checks(town: Town, warm: RelayServer, bring: Callable[[str], str]) -> None:
    alive, dead, used_up = bring("user60"), bring("user61"), bring("user62")
    town.end(dead)
    answers = await asyncio.gather(*(checked(warm, alive) for _ in range(8)), checked(warm, dead))
    assert [answer.json() for answer in answers] == [{"live": True}] * 8 + [{"live": False}]
    town.end(alive)
    assert (await checked(warm, alive)).json() == {"live": True}, "asked once in ten minutes"
    assert (await checked(warm, used_up, site="demo")).json() == {"live": True}
    town.end(used_up)
    assert error_of(await asked(warm, used_up, "hello"))[0] == 503
    assert (await checked(warm, used_up)).json() == {"live": False}, "a chat has found out"
    for odd in ("nonsense", "a,b", "x" * 8_000, "eyJ.\x00", " \n"):
        assert (await checked(warm, odd)).json() == {"live": False}
    for body in ({"token": ""}, {"token": 5}, {}, {"token": "x" * 9_000}, {"token": "x", "site": "gradio"}):
        async with httpx.AsyncClient(base_url=warm.url, trust_env=False) as client:
            refused = await client.post("/token/check", json=body)
        assert error_of(refused)[:2] == (400, "invalid_request")
    assert town.heard("user60") == []


async def test_odd_bearers(town: Town, warm: RelayServer, bring: Callable[[str], str]) -> None:
    token = bring("user63")
    odd = {
        f"{token},": "Part 2 of 2 of the Bearer is empty",
        f",{token}": "Part 1 of 2",
        f"{token},,{token}": "Part 2 of 3",
        f"{token},rubbish": "Part 2 of 2 of the Bearer is no token of the model's site",
        f"{token}\x01,{token}": "Part 1 of 2",
        f"{token}\x7f,{token}": "",
        ",".join([token] * 101): "101 site tokens; at most 100",
        "x" * 1_000_000: "1000000 characters",
    }
    for bearer, wanted in odd.items():
        async with httpx.AsyncClient(base_url=warm.url, trust_env=False, timeout=60) as client:
            headers = {b"authorization": b"Bearer " + bearer.encode("latin-1")}
            body = {"model": "demo/echo", "messages": [{"role": "user", "content": "odd"}]}
            answer = await client.post("/v1/chat/completions", json=body, headers=headers)
        assert answer.status_code in (400, 401, 431), (wanted, answer.text)
        assert wanted in answer.text or answer.status_code != 401
        assert token not in answer.text
    assert town.heard("user63") == []
    assert "odd" not in {prompt for talk in town.heard(OWNER) for prompt in talk}
    many = ",".join([token] * 80)
    assert "fine" in text_of(await asked(warm, many, "fine"))


async def test_kimi_trades_the_token_and_it_is_still_found(
    warm: RelayServer, used: list[str], replicas: Replicas
) -> None:
    """The page makes a new pair of tokens of the pasted one, which is worth nothing after that."""
    user = "token-kimi-rotating"
    tokens = login(user)
    used += [tokens.refresh, tokens.access]
    await replicas.play("kimi", user, Scenario(answer=Answer(echo=True), access_ttl_s=4))
    before = await contexts(warm)
    for number in range(2):
        assert text_of(await asked(warm, tokens.refresh, f"hello {number}", "kimi")).endswith(f"hello {number}")
        if number == 0:
            await asyncio.sleep(4.1)  # the access token's life
    assert len(await contexts(warm) - before) == 1
    traded = await replicas.records(site="kimi", account=user, operation="refresh", state="finished")
    spent = {record.headers["authorization"] for record in traded if record.status == 200}
    assert f"Bearer {tokens.refresh}" in spent
    assert len(spent) >= 2, "each time by the newest"
    used += [header.removeprefix("Bearer ") for header in spent]
    assert (await checked(warm, tokens.refresh)).json() == {"live": True}


async def test_kimi_tokens_by_their_kind(warm: RelayServer, used: list[str], replicas: Replicas) -> None:
    user = "token-kimi-access"
    tokens, expired = login(user), login(user, access_ttl_s=-600, refresh_ttl_s=-600)
    used += [tokens.access, expired.access, expired.refresh]
    await replicas.play("kimi", user, Scenario(answer=Answer(echo=True)))
    assert text_of(await asked(warm, tokens.access, "by access", "kimi")) == "by access"
    assert await replicas.records(site="kimi", account=user, operation="refresh") == []
    for token in (expired.access, expired.refresh):  # their own date tells
        assert "has expired" in error_of(await asked(warm, token, "hello", "kimi"))[2]
        assert (await checked(warm, token)).json() == {"live": False}
    # What keeps the site from telling is an error.
    away = "token-kimi-away"
    await replicas.play("kimi", away, Scenario(faults=[Fault(kind="status", status=500, on="probe")]))
    unknown = login(away).access
    used.append(unknown)
    assert error_of(await checked(warm, unknown))[0] == 502


async def gone(relay: RelayServer, before: set[str], most: int = 0) -> None:
    """Wait until the browser has at most so many contexts more than before."""
    async with asyncio.timeout(60):
        while len(await contexts(relay) - before) > most:  # noqa: ASYNC110  (nothing tells us)
            await asyncio.sleep(0.1)


async def test_unused_ones_go(town: Town, replicas: Replicas, tmp_path: Path) -> None:
    settings = {
        "RELAY_PASSTHROUGH__KEEP_S": "1",
        "RELAY_PASSTHROUGH__MAX_ACCOUNTS": "3",
        "RELAY_BROWSER__DIRECT_CDP": "true",
        "RELAY_KEEPER__DELETE_GAP_S": "0.2",
        "RELAY_BROWSER__MAX_OPEN_TABS": "8",
        "RELAY_BROWSER__HOST_RULES": replicas.host_rules,
        "RELAY_BROWSER__TRUSTED_SPKI": replicas.spki,
    }
    tokens = [town.token(user) for user in town.users[70:76]]
    with town.server(tmp_path / "home", **settings) as relay:
        before = await contexts(relay)
        # No more than three at once: who comes while all are busy is told so.
        slow = [asyncio.create_task(asked(relay, token, "hello", "demo/slow")) for token in tokens[:3]]
        await asyncio.to_thread(relay.process.await_output, r"(?s)(made of a caller's token.*){3}")
        status, code, message = error_of(await asked(relay, tokens[3], "hello"))
        assert (status, code) == (429, "queue_full")
        assert "RELAY_PASSTHROUGH__MAX_ACCOUNTS" in message
        for answer in await asyncio.gather(*slow):
            text_of(answer)
        # Then the one that was not used for longest makes room.
        assert "room" in text_of(await asked(relay, tokens[3], "room"))
        await gone(relay, before, 3)
        # Unused, they all go, and their conversations on the site before them; who made room had no time for that.
        await gone(relay, before)
        assert sum(bool(town.heard(user)) for user in town.users[70:74]) == 1
        assert "again" in text_of(await asked(relay, tokens[0], "again"))
        # What the page made of a token is still known when its context is gone, and when the browser died.
        await replicas.play("kimi", "token-kimi-gone", Scenario(answer=Answer(echo=True)))
        tokens += [pasted := login("token-kimi-gone").refresh]
        for number in range(3):
            answer = await asked(relay, pasted, f"hello {number}", "kimi")
            if number == 2 and answer.status_code == 502:  # it was sent before the relay knew of the death
                assert error_of(answer)[1] == "browser_fault"
                answer = await asked(relay, pasted, f"hello {number}", "kimi")
            assert text_of(answer) == f"hello {number}"
            if number == 0:
                await gone(relay, before)
            elif number == 1:
                relay.browser().kill()
        traded = await replicas.records(account="token-kimi-gone", operation="refresh")
        assert [record.status for record in traded] == [200]
        log = relay.log
    assert left_behind(relay, log, tokens) == []


async def test_with_keys(town: Town, tmp_path: Path) -> None:
    token, dead = town.token("user76"), town.token("user77")
    town.end(dead)
    with town.server(tmp_path / "home", RELAY_API_KEYS="key-of-anna", RELAY_SITES__DEMO__DRIVERS="screen") as relay:
        assert "by key" in text_of(await asked(relay, "key-of-anna", "by key"))
        assert "by token" in text_of(await asked(relay, token, "by token"))
        assert town.heard("user76") == [["by token"]]
        owners = len(town.heard(OWNER))
        # In the shape of another site's tokens, of no site's, or mixed with a key: 401, and nobody is asked.
        jwt = login("token-kimi-foreign").access
        for bearer in (jwt, "rubbish", f"{token},key-of-anna", f"key-of-anna,{token}", f"{token},{jwt}", "key-of-bert"):
            assert error_of(await asked(relay, bearer, "no"))[:2] == (401, "invalid_api_key"), bearer
        assert (town.heard("user76"), len(town.heard(OWNER))) == ([["by token"]], owners)
        assert error_of(await checked(relay, token))[0] == 401
        assert error_of(await checked(relay, token, key=token))[0] == 401
        assert (await checked(relay, token, key="key-of-anna")).json() == {"live": True}
        assert (await checked(relay, dead, key="key-of-anna")).json() == {"live": False}
        async with httpx.AsyncClient(base_url=relay.url, trust_env=False) as client:
            headers = {"authorization": f"Bearer {token}"}
            assert (await client.get("/v1/models", headers=headers)).status_code == 401
            assert "accounts" not in (await client.get("/health", headers=headers)).json()


async def test_tokens_of_the_owner(town: Town, replicas: Replicas) -> None:
    """`relay accounts add --token-stdin`: what a pasted token becomes is kept as an account's state."""
    settings = BrowserSettings(sandbox=False, host_rules=replicas.host_rules, trusted_spki=replicas.spki)
    browser = Chromium(settings)
    await browser.start()
    try:
        demo = Demo(SiteConfig(base_url=f"{town.url}/"))
        token = town.token("user79")
        login_found, state = await adopted_state(demo, token, browser, {"locale": "en-GB"})
        assert (login_found.state, login_found.label) == (LoginState.LIVE, "user79")
        assert [cookie["value"] for cookie in state["cookies"]] == [token]
        town.end(token)
        assert (await adopted_state(demo, token, browser, {}))[0].state is LoginState.DEAD

        pasted = login("token-kimi-owner").refresh
        login_found, state = await adopted_state(Kimi(), pasted, browser, {})
        assert (login_found.state, login_found.label) == (LoginState.LIVE, "token-kimi-owner")
        [origin] = state["origins"]
        kept = {entry["name"]: entry["value"] for entry in origin["localStorage"]}
        assert kept["access_token"]
        assert kept["refresh_token"] != pasted, "the page has traded it in"
        with pytest.raises(LoginNeeded):
            await adopted_state(Kimi(), login("token-kimi-owner", refresh_ttl_s=-600).refresh, browser, {})
        with pytest.raises(BadRequest):
            await adopted_state(Gradio(), "no colon", browser, {})
        async with asyncio.timeout(10):
            while await open_contexts(browser):  # noqa: ASYNC110  (nothing tells us)
                await asyncio.sleep(0.05)
    finally:
        await browser.stop()


async def open_contexts(browser: Chromium) -> int:
    assert browser._browser is not None
    return len(browser._browser.contexts)
