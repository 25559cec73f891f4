"""Remote logins: an account's browser shown to its owner, who logs in there from afar."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time

from loguru import logger

from relay.errors import BadRequest, Forbidden, LoginGone, NoAccount
from relay.pool.browsers import Browsers
from relay.pool.face import LoginTicket, LoginView
from relay.pool.owner import AccountOwner
from relay.pool.remote_session import RemoteSession
from relay.pool.remote_view import RemoteView
from relay.settings import Settings

MAX_LOGINS = 8
"""At once: each may hold a browser page that no other limit counts."""
SECRET_BYTES = 32
TOLD_S = 120.0
"""How long the viewer of a login that is over can still learn how it ended: a telephone that slept meanwhile."""


class RemoteLogins:
    """Implements `face.Logins`."""

    def __init__(self, settings: Settings, owner: AccountOwner, browsers: Browsers) -> None:
        self._settings = settings.login
        self._owner = owner
        self._browsers = browsers
        self._sessions: dict[bytes, RemoteSession] = {}
        self._tasks: dict[bytes, asyncio.Task[None]] = {}
        self._opening = 0
        self._stopping = ""

    def __repr__(self) -> str:
        return f"<RemoteLogins {list(self._sessions.values())}>"

    async def open(self, name: str) -> LoginTicket:
        """Lend the account to a login and make its address.

        Raises AccountNotFound, BadRequest for an account.toml that cannot be used, NoAccount where a login has it
        already, where too many are open, or while the relay is shutting down.
        """
        account = self._owner.find(name)
        options = account.profile.settings().context_options()
        if account.site.needs_base_url and not account.site.config.base_url:
            raise BadRequest(f"{account.profile.folder / 'account.toml'} names no base_url.")
        if len(self._tasks) + self._opening >= MAX_LOGINS:
            raise NoAccount(f"{MAX_LOGINS} remote logins are open already: finish one first.")
        self._opening += 1
        try:
            self._refuse_if_stopping()
            await self._owner.lend_inside(account)
        finally:
            self._opening -= 1
        self._refuse_if_stopping()
        secret = secrets.token_urlsafe(SECRET_BYTES)
        key = _key(secret)
        session = RemoteSession(account, options, self._settings, self._browsers, self._owner)
        self._sessions[key] = session
        self._tasks[key] = asyncio.get_running_loop().create_task(self._run(key, session))
        logger.info("{}: a remote login waits for its owner", name)
        return LoginTicket(f"/login/{secret}", time.time() + self._settings.open_within_s)

    def _refuse_if_stopping(self) -> None:
        if self._stopping:
            raise NoAccount(self._stopping)

    async def _run(self, key: bytes, session: RemoteSession) -> None:
        try:
            await session.run()
        finally:
            del self._tasks[key]
            if session.viewer and not self._stopping:
                asyncio.get_running_loop().call_later(TOLD_S, self._sessions.pop, key, None)
            else:
                del self._sessions[key]

    def enter(self, secret: str, viewer: str) -> LoginView:
        """The view of `/login/<secret>`: see `face.Logins`."""
        session = self._sessions.get(_key(secret))
        if session is None or (session.over and session.viewer != viewer):
            raise LoginGone("This address is used up, expired, or never was one. Ask for a new one.")
        if session.viewer not in ("", viewer):
            raise Forbidden("This login is open in another browser already. Go on there, or ask for a new address.")
        return RemoteView(session, viewer)

    async def end(self, name: str) -> None:
        """End the login of an account: the account is back, as it was. Without one, nothing happens."""
        for key, task in tuple(self._tasks.items()):
            if self._sessions[key].account.name == name:
                self._sessions[key].give_up("Its owner has ended it.")
                await asyncio.wait({task})

    async def stop(self, why: str) -> None:
        """End them all and open no more. The accounts stay as they were."""
        self._stopping = why
        tasks = tuple(self._tasks.values())
        for session in self._sessions.values():
            session.stopping = why
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _key(secret: str) -> bytes:
    """What a secret is known by: no lookup of it takes a time that tells of another."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()
