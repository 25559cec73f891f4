"""Where notices go: ntfy, Apprise's JSON, mail, and addresses that are none."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path

import apprise
import pytest

from relay.errors import BadRequest
from relay.pool import receivers
from relay.pool.notices import Notice, Notices, message_of
from relay.pool.receivers import receivers_of
from tests.receiver import HttpReceiver, Script
from tests.unit.pool.telling import SECRET, Post, parked, post_office, requests, settings, telling

pytestmark = pytest.mark.usefixtures("no_proxy")

DOCS = Path(__file__).parents[3] / "docs" / "notices.md"


async def test_apprise_json_and_ntfy(heard: Callable[[], str]) -> None:
    with HttpReceiver() as receiver:
        here = f"127.0.0.1:{receiver.port}"
        async with telling(f"json://ann:{SECRET}@{here}/{SECRET}", f"ntfy://ann:{SECRET}@{here}/{SECRET}") as telling_:
            telling_.parked(parked())
            got = await requests(receiver, 2)
    for one in got:
        said = one.json
        assert said["title"] == "relay: kimi/work needs you"
        assert "its login has expired" in said["message"]
        assert "relay login kimi --account work" in said["message"]
    assert {one.json.get("topic") for one in got} == {None, SECRET}
    assert SECRET not in heard()
    assert heard().count("was told") == 2


async def test_apprise_tries_again_too(heard: Callable[[], str]) -> None:
    with HttpReceiver(Script(statuses=[500, 500])) as receiver:
        async with telling(f"json://127.0.0.1:{receiver.port}/{SECRET}") as telling_:
            telling_.parked(parked())
            await requests(receiver, 3)
    assert heard().count("could not be told") == 2
    assert SECRET not in heard()


async def test_a_mail(heard: Callable[[], str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="mail.log")  # the SMTP server's own
    post = Post()
    async with post_office(post) as port:
        address = f"mailto://127.0.0.1:{port}?from=relay@example.com&to={SECRET}@example.com"
        async with telling(address) as telling_:
            telling_.parked(parked(account="工作"))
            await asyncio.wait_for(post.come.wait(), 20)
    [(to, mail)] = post.mails
    assert to == [f"{SECRET}@example.com"]
    payload = next(part for part in mail.walk() if part.get_content_type() == "text/plain").get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert "account 工作 (Ann)" in payload.decode()
    assert SECRET not in heard()


# addresses


@pytest.mark.parametrize(
    ("address", "says"),
    [
        (SECRET, "address 2 has no scheme"),
        (f"nosuch://{SECRET}", "address 2 (nosuch://)"),
        (f"tgram://{SECRET}", "address 2 (tgram://)"),
        (f"feishu://{SECRET}!/%00", "address 2 (feishu://)"),
        (f"https://:80/{SECRET}", "address 2 (https://)"),
        (f"http://h:99999/{SECRET}", "address 2 (http://)"),
        (f"https://[{SECRET}/", "address 2 (https://)"),
        (f"https://a b/{SECRET}", "address 2 (https://)"),
    ],
)
async def test_a_bad_address_is_refused_at_the_start(address: str, says: str, heard: Callable[[], str]) -> None:
    made = Notices(settings("https://fine.example", address))
    with pytest.raises(BadRequest) as caught:
        await made.start()
    assert says in caught.value.message
    assert SECRET not in caught.value.message + heard() + repr(made)
    await made.stop()


def documented() -> list[tuple[str, str]]:
    """(what, address) of each row of the table in the docs."""
    return re.findall(r"^\| (.+?) +\| `(\S+)` \|$", DOCS.read_text("utf-8"), re.MULTILINE)


KINDS = {
    "ntfy": "NotifyNtfy",
    "ntfys": "NotifyNtfy",
    "barks": "NotifyBark",
    "tgram": "NotifyTelegram",
    "wecombot": "NotifyWeComBot",
    "feishu": "NotifyFeishu",
    "mailto": "NotifyEmail",
    "mailtos": "NotifyEmail",
}


async def test_the_documented_addresses_are_what_they_are_said_to_be() -> None:
    rows = documented()
    assert len(rows) == 10
    taken = await receivers_of([address for _, address in rows])
    seen = set()
    for (what, address), receiver in zip(rows, taken, strict=True):
        scheme = address.partition("://")[0]
        if scheme == "https":
            assert isinstance(receiver, receivers.Webhook)
            continue
        made = apprise.Apprise.instantiate(address)
        assert type(made).__name__ == KINDS[scheme], what
        seen.add(scheme)
    assert seen == set(KINDS)
    [token] = [address for _, address in rows if address.startswith("ntfys")]
    assert apprise.Apprise.instantiate(token).token.startswith("tk_")  # type: ignore[union-attr]


def test_the_documented_json_is_what_is_sent() -> None:
    [shown] = re.findall(r"```json\n(.+?)```", DOCS.read_text("utf-8"), re.DOTALL)
    body = json.loads(shown)
    status = parked(why="Kimi refused the login.")
    sent = message_of([Notice.of(status, "https://relay.example.com", 0)]).body
    assert body | {"since": sent["since"]} == sent
    assert list(body) == list(sent)
