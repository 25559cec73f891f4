"""The accounts of a home on which no server runs: the same states, read from its files and kept in its `relay.db`."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from relay.errors import AccountNotFound, BadRequest
from relay.pool.account import Account, State
from relay.pool.alone import alone
from relay.pool.browsers import Browsers
from relay.pool.face import AccountStatus
from relay.pool.locks import lock_home
from relay.pool.profiles import Profile, discover, profile_of
from relay.pool.sealing import Keyring
from relay.pool.store import Store
from relay.settings import Settings
from relay.sites.registry import SITES


class OfflineAccounts:
    """What a server does with accounts (`face.Owner`), done without one. Made by `offline_accounts`."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._keys = Keyring.of(settings.profile_key)
        self._loaded: dict[str, Account] = {}

    def __repr__(self) -> str:
        return f"<OfflineAccounts {self._settings.profiles}>"

    def all(self) -> list[AccountStatus]:
        """Every account."""
        found = discover(self._settings.profiles, set(SITES), self._keys)
        return [self._account(profile).status() for profile in found]

    async def check(self, name: str) -> AccountStatus:
        """Ask the site about the login, in a browser for that. Raises what kept the site from telling."""
        account = self._find(name)
        if account.reason not in ("parked", "disabled"):
            async with alone(account.profile, self._settings) as opened:
                account.take(await opened.check())
        return account.status()

    async def park(self, name: str) -> AccountStatus:
        """Out of service until it is resumed."""
        account = self._find(name)
        if account.reason != "disabled":
            account.park(State.DISABLED, "parked by its owner", "parked")
        return account.status()

    async def resume(self, name: str) -> AccountStatus:
        """Back to service, rests and parking forgotten; then checked."""
        account = self._find(name)
        if account.reason == "disabled":
            file = account.profile.folder / "account.toml"
            raise BadRequest(f"{name} is disabled in {file}: take `disabled = true` out of it first.")
        account.resume()
        return await self.check(name)

    async def remove(self, name: str) -> None:
        """Its folder, and what relay.db knows of it."""
        account = self._find(name)
        with account.profile.lock():
            self._store.forget_account(name)
        shutil.rmtree(account.profile.folder)

    def _find(self, name: str) -> Account:
        profile = profile_of(self._settings.profiles, name, self._keys)
        if not profile.folder.is_dir():
            raise AccountNotFound(f"There is no account {name}: {profile.folder} does not exist.")
        return self._account(profile)

    def _account(self, profile: Profile) -> Account:
        name, store = f"{profile.site}/{profile.account}", self._store
        if name not in self._loaded:
            account = Account.load(profile, self._settings, Browsers(self._settings), store, lambda *_: None)
            account.restore(store.accounts().get(name), store.cooldowns().get(name, {}), store.starts().get(name, []))
            account.lock.release()  # who opens it takes the lock again
            self._loaded[name] = account
        return self._loaded[name]


@asynccontextmanager
async def offline_accounts(settings: Settings) -> AsyncIterator[OfflineAccounts]:
    """The home is ours inside the block. Raises NoAccount while a server uses it."""
    with lock_home(settings.home):
        store = await Store.open(settings.home / "relay.db")
        try:
            yield OfflineAccounts(settings, store)
        finally:
            await store.close()
