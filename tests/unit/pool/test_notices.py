"""Notices to the owner, by real receivers: what is said, to whom, how often, and the end."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from relay.pool import notices, receivers
from relay.pool.account import Account, State
from relay.pool.browsers import Browsers
from relay.pool.face import OWNER_NEEDED
from relay.pool.notices import Notice, Notices, message_of
from relay.pool.profiles import profile_of
from relay.pool.rows import AccountRow
from relay.pool.store import Store
from tests.receiver import HttpReceiver, Script
from tests.unit.pool.telling import SECRET, eventually, parked, requests, settings, telling

pytestmark = pytest.mark.usefixtures("no_proxy")


# what is said


@pytest.mark.parametrize("reason", OWNER_NEEDED)
def test_every_reason_says_what_happened_and_what_to_do(reason: str) -> None:
    text = Notice.of(parked(reason), "https://r.example", 0).text
    assert text.startswith("Kimi, account work (Ann) takes no chats: ")
    assert notices.WHAT[reason] in text
    assert "Refused" in text
    if reason != "banned":
        assert "`relay login kimi --account work`, or at https://r.example/admin" in text


def test_no_address_of_the_server_no_link() -> None:
    notice = Notice.of(parked(), "", 0)
    assert notice.login_url == ""
    assert "admin" not in notice.text


def test_what_the_site_said_is_cut_short_and_holds_no_token() -> None:
    jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
    status = parked(why=f"Bearer {jwt}\ncookie: a=b\n" + "x" * 1000)
    message = message_of([Notice.of(status, "", 0)])
    assert jwt not in json.dumps(message.body)
    assert len(message.text) < 600
    assert "\n" not in message.text


def test_many_in_one_message() -> None:
    many = [Notice.of(parked(account=f"a{number}"), "", 0) for number in range(50)]
    message = message_of(many, more=7)
    assert message.body["event"] == "accounts_need_owner"
    assert message.body["count"] == 57
    assert len(message.body["accounts"]) == 50
    assert "and 37 more" in message.text
    assert message.text.count("\n") == notices.SHOWN + 1


# the webhook


async def test_a_webhook_gets_the_json(heard: Callable[[], str]) -> None:
    with HttpReceiver() as receiver:
        async with telling(f"{receiver.url}/{SECRET}?key={SECRET}") as telling_:
            telling_.parked(parked())
            [got] = await requests(receiver, 1)
        assert len(receiver.got) == 1
    assert got.path == f"/{SECRET}?key={SECRET}"
    assert got.headers["content-type"] == "application/json"
    assert got.headers["user-agent"].startswith("relay/")
    assert got.json == {
        "event": "account_needs_owner",
        "site": "kimi",
        "account": "work",
        "label": "Ann",
        "reason": "expired",
        "why": "Refused.",
        "since": "2026-09-21T14:13:20+00:00",
        "login_url": "https://relay.example.com/admin",
        "text": "Kimi, account work (Ann) takes no chats: its login has expired (Refused). Log in again with "
        "`relay login kimi --account work`, or at https://relay.example.com/admin.",
    }
    assert SECRET not in heard()
    assert f"address 1 (http://127.0.0.1:{receiver.port}) was told" in heard()


async def test_after_two_failures_it_is_told(heard: Callable[[], str]) -> None:
    with HttpReceiver(Script(statuses=[500, 503])) as receiver:
        async with telling(f"{receiver.url}/{SECRET}") as telling_:
            telling_.parked(parked())
            got = await requests(receiver, 3)
        assert len(receiver.got) == 3
    assert got[0].json == got[2].json
    assert "HTTP 500" in heard()
    assert SECRET not in heard()


async def test_a_receiver_that_never_takes_it_is_given_up_and_the_next_notice_is_tried_anew(
    heard: Callable[[], str],
) -> None:
    with HttpReceiver(Script(statuses=[404] * 3)) as receiver:
        async with telling(receiver.url, pauses_s=(0.01, 0.01)) as telling_:
            telling_.parked(parked())
            await requests(receiver, 3)
            await eventually(lambda: "was not told" in heard())
            telling_.parked(parked(account="other"))
            got = await requests(receiver, 4)
    assert got[3].json["account"] == "other"


async def test_what_comes_meanwhile_goes_along_and_others_do_not_wait() -> None:
    with HttpReceiver(Script(statuses=[500])) as slow, HttpReceiver() as quick:
        async with telling(slow.url, quick.url, pauses_s=(0.5,)) as telling_:
            telling_.parked(parked())
            await requests(quick, 1)
            await requests(slow, 1)
            telling_.parked(parked(account="other"))
            await requests(quick, 2)
            got = await requests(slow, 2)
    assert [one["account"] for one in got[1].json["accounts"]] == ["work", "other"]
    assert len(slow.got) == 2


async def test_a_burst_is_one_message() -> None:
    with HttpReceiver() as receiver:
        async with telling(receiver.url, quiet_s=0.3) as telling_:
            for number in range(50):
                telling_.parked(parked(account=f"a{number}"))
                await asyncio.sleep(0)
            [got] = await requests(receiver, 1)
        assert len(receiver.got) == 1
    assert got.json["count"] == len(got.json["accounts"]) == 50


async def test_what_comes_one_after_the_other_is_one_message_until_the_window_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notices, "WINDOW_S", 0.5)
    with HttpReceiver() as receiver:
        async with telling(receiver.url, quiet_s=0.2) as telling_:
            number = 0
            while len(receiver.got) < 2:
                telling_.parked(parked(account=f"a{(number := number + 1)}"))
                await asyncio.sleep(0.02)
    assert [got.json["event"] for got in receiver.got[:2]] == ["accounts_need_owner"] * 2


async def test_more_than_can_wait_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "MOST_WAITING", 3)
    with HttpReceiver() as receiver:
        async with telling(receiver.url, quiet_s=0.1) as telling_:
            for number in range(10):
                telling_.parked(parked(account=f"a{number}"))
            [got] = await requests(receiver, 1)
        assert len(receiver.got) == 1
    assert got.json["count"] == 10
    assert len(got.json["accounts"]) == 3


@pytest.mark.parametrize("script", [Script(silent=True), Script(drips=True)], ids=["silent", "drips"])
async def test_a_receiver_that_hangs(script: Script, monkeypatch: pytest.MonkeyPatch, heard: Callable[[], str]) -> None:
    monkeypatch.setattr(receivers, "WEBHOOK_S", 0.3)
    with HttpReceiver(script) as receiver:
        async with telling(f"{receiver.url}/{SECRET}") as telling_:
            telling_.parked(parked())
            await requests(receiver, 2)
            receiver.script = Script()
            await requests(receiver, 3)
    assert "no answer within" in heard()
    assert SECRET not in heard()


async def test_a_redirect_is_not_followed(heard: Callable[[], str]) -> None:
    with HttpReceiver() as other, HttpReceiver(Script(statuses=[308] * 9, location=f"{other.url}/x")) as receiver:
        async with telling(receiver.url) as telling_:
            telling_.parked(parked())
            await requests(receiver, 2)
        assert other.got == []
    assert "redirects" in heard()


async def test_nobody_listens(heard: Callable[[], str]) -> None:
    with HttpReceiver() as receiver:
        url = receiver.url
    async with telling(f"{url}/{SECRET}", f"json://127.0.0.1:{receiver.port}/{SECRET}") as telling_:
        telling_.parked(parked())
        await eventually(lambda: heard().count("could not be told") >= 2)
    assert SECRET not in heard()


# once


async def test_what_is_damaged_is_told_once_by_a_process() -> None:
    with HttpReceiver() as receiver:
        async with telling(receiver.url) as telling_:
            for _ in range(3):
                telling_.parked(parked("damaged"))
            [first] = await requests(receiver, 1)
            telling_.parked(parked("damaged"))
            telling_.parked(parked("damaged", why="Another thing."))
            second = (await requests(receiver, 2))[1]
        assert len(receiver.got) == 2
    assert (first.json["reason"], first.json["why"]) == ("damaged", "Refused.")
    assert second.json["why"] == "Another thing."


async def test_what_its_owner_knows_is_not_told() -> None:
    with HttpReceiver() as receiver:
        async with telling(receiver.url) as telling_:
            for reason in ("lent", "parked", "site_down", ""):
                telling_.parked(parked(reason))
            telling_.parked(parked("banned"))
            [got] = await requests(receiver, 1)
        assert len(receiver.got) == 1
    assert got.json["reason"] == "banned"


async def test_an_account_tells_each_reason_once_until_it_lives_again(tmp_path: Path) -> None:
    (tmp_path / "browser_profiles" / "demo" / "ann").mkdir(parents=True)
    profile = profile_of(tmp_path / "browser_profiles", "demo/ann")
    told: list[str] = []
    store = await Store.open(tmp_path / "relay.db")
    try:
        ours = settings(home=tmp_path)
        account = Account.load(
            profile,
            ours,
            Browsers(ours, lambda: None),
            store,
            lambda *_: None,
            lambda status: told.append(status.reason),
        )
        for reason in ("expired", "guest", "expired", "guest"):
            account.park(State.LOGIN_NEEDED, reason, reason)
        assert told == ["expired", "guest"]
        account.unpark()
        account.park(State.LOGIN_NEEDED, "again", "expired")
        assert told == ["expired", "guest", "expired"]
        row = AccountRow("login_needed", "before", time.time(), "expired")
        account.unpark()
        account.restore(row, {}, [])
        assert (account.reason, told) == ("expired", ["expired", "guest", "expired"]), "a restart is no news"
        account.park(State.LOGIN_NEEDED, "still", "expired")
        assert len(told) == 3
        account.lock.release()
    finally:
        await store.close()


async def test_without_addresses_nothing_runs() -> None:
    async with telling() as telling_:
        telling_.parked(parked())
        assert "[]" in repr(telling_)


# the end


async def test_what_waits_is_delivered_at_the_stop() -> None:
    with HttpReceiver() as receiver:
        async with telling(receiver.url, quiet_s=600) as telling_:
            telling_.parked(parked())
        assert len(receiver.got) == 1
    with HttpReceiver(Script(statuses=[500])) as receiver:
        async with telling(receiver.url, pauses_s=(600,)) as telling_:
            telling_.parked(parked())
            await requests(receiver, 1)
        assert len(receiver.got) == 2, "the pause ends with the relay"


async def test_the_stop_waits_for_no_hanging_receiver(heard: Callable[[], str]) -> None:
    with HttpReceiver(Script(silent=True)) as receiver:
        one = Notices(settings(f"{receiver.url}/{SECRET}", f"json://127.0.0.1:{receiver.port}"), quiet_s=0)
        await one.start()
        one.parked(parked())
        await requests(receiver, 2)
        await one.stop(within_s=0.2)
    assert heard().count("relay stops") == 2
    assert SECRET not in heard()
