"""Remote logins: an account's browser shown to its owner, who logs in there."""

from __future__ import annotations

from relay.errors import LoginGone
from relay.pool.browsers import Browsers
from relay.pool.face import LoginTicket, LoginView
from relay.pool.owner import AccountOwner
from relay.settings import Settings


class RemoteLogins:
    """Implements `face.Logins`."""

    def __init__(self, settings: Settings, owner: AccountOwner, browsers: Browsers) -> None:
        self._settings = settings
        self._owner = owner
        self._browsers = browsers

    async def open(self, name: str) -> LoginTicket:
        raise NotImplementedError

    def enter(self, secret: str, viewer: str) -> LoginView:
        raise LoginGone("This address is used up, expired, or never was one.")
