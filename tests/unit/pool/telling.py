"""What the tests of notices share: accounts that were parked, a teller, and a post office."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import Message as Mail
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session
from pydantic import SecretStr

from relay.pool.face import AccountStatus
from relay.pool.notices import Notices
from relay.settings import Settings
from tests.receiver import HttpReceiver

SECRET = "s3cr3tpathtoken"
QUICK = (0.01,) * 5


def parked(
    reason: str = "expired", account: str = "work", *, site: str = "kimi", why: str = "Refused."
) -> AccountStatus:
    return AccountStatus(site, account, "login_needed", why, "Ann", reason=reason, since=1_790_000_000.0)


def settings(*addresses: str, **more: Any) -> Settings:
    return Settings(notify=[SecretStr(one) for one in addresses], public_url="https://relay.example.com/", **more)


@asynccontextmanager
async def telling(
    *addresses: str, quiet_s: float = 0.01, pauses_s: tuple[float, ...] = QUICK
) -> AsyncIterator[Notices]:
    made = Notices(settings(*addresses), quiet_s=quiet_s, pauses_s=pauses_s)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def requests(receiver: HttpReceiver, count: int) -> list[Any]:
    """What a receiver got, waited for beside the loop."""
    return await asyncio.to_thread(receiver.await_requests, count)


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait for what nothing tells us of."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Post:
    """An SMTP server's handler that keeps the mails."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], Mail]] = []
        self.come = asyncio.Event()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        self.mails.append((envelope.rcpt_tos, message_from_bytes(content)))
        self.come.set()
        return "250 OK"


@asynccontextmanager
async def post_office(post: Post) -> AsyncIterator[int]:
    """A real SMTP server on loopback; its port."""
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(post, hostname="localhost"), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
