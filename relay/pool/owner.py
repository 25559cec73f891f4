"""What the owner does with accounts while the relay runs: check, park, resume, add, remove, lend to a login."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from typing import Protocol

from loguru import logger

from relay.browser.cdp import CdpError
from relay.browser.world import PageException
from relay.errors import AccountNotFound, BadRequest, BrowserFault, NoAccount, RelayError
from relay.pool.account import Account, State
from relay.pool.face import AccountStatus
from relay.pool.leases import Leases
from relay.pool.profiles import Profile, profile_of
from relay.pool.sealing import Keyring
from relay.pool.store import Store
from relay.sites.base import LoginState

CHECK_S = 90.0


class Roster(Protocol):
    """The part of the dispatcher that the owner works on."""

    accounts: dict[str, Account]
    leases: Leases
    store: Store

    def load(self, profile: Profile) -> Account:
        """An account of a folder, with what the last run knew of it."""
        ...

    def forget(self, account: Account) -> None:
        """It is gone: its conversations too."""
        ...

    def turn(self) -> None:
        """Decide anew who gets what."""
        ...


class AccountOwner:
    """Implements `face.Owner`."""

    def __init__(self, roster: Roster, profiles: Path, keys: Keyring | None, claim_s: float) -> None:
        """Whom an account is lent to has `claim_s` seconds to open it; then it is taken back."""
        self._roster = roster
        self._profiles = profiles
        self._keys = keys
        self._claim_s = claim_s
        self._checking = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<AccountOwner of {len(self._roster.accounts)} accounts>"

    def find(self, name: str) -> Account:
        """The account `<site>/<account>`. Raises AccountNotFound."""
        account = self._roster.accounts.get(name)
        if account is None:
            known = ", ".join(sorted(self._roster.accounts)) or "none"
            raise AccountNotFound(f"There is no account {name[:100]!r}. There are: {known[:500]}.")
        return account

    # face.Owner

    async def check(self, name: str) -> AccountStatus:
        account = self.find(name)
        if account.lent_at is not None or account.reason in ("disabled", "elsewhere"):
            return account.status()
        if account.reason == "damaged":
            account = await self._renew(account)
        if account.reason == "parked" or (account.state is State.BROKEN and account.reason != "banned"):
            return account.status()
        account.notice_login()
        await self._probe(account)
        self._roster.turn()
        return account.status()

    async def park(self, name: str) -> AccountStatus:
        account = self.find(name)
        if account.reason != "disabled":
            account.park(State.DISABLED, "parked by its owner", "parked")
        self._roster.turn()
        return account.status()

    async def resume(self, name: str) -> AccountStatus:
        account = self.find(name)
        if account.profile.settings().disabled:
            file = account.profile.folder / "account.toml"
            raise BadRequest(f"{name} is disabled in {file}: take `disabled = true` out of it first.")
        if account.reason in ("damaged", "disabled", "elsewhere"):
            account = await self._renew(account)
        if account.reason not in ("damaged", "disabled", "elsewhere"):
            account.resume()
        return await self.check(name)

    async def take_up(self, name: str) -> AccountStatus:
        profile = profile_of(self._profiles, name, self._keys)
        if not profile.folder.is_dir():
            raise AccountNotFound(f"There is no folder {profile.folder}.")
        known = self._roster.accounts.get(name)
        if known is None:
            self._roster.accounts[name] = self._roster.load(profile)
            logger.info("{} was added", name)
        else:
            await self._renew(known)
        return await self.check(name)

    async def remove(self, name: str) -> None:
        account = self.find(name)
        await self._close(account)
        del self._roster.accounts[name]
        self._roster.forget(account)
        account.lock.release()
        await asyncio.to_thread(shutil.rmtree, account.profile.folder)
        logger.info("{} was removed", name)

    async def lend(self, name: str) -> None:
        account = self.find(name)
        await self.lend_inside(account)
        account.lent_at = time.monotonic()
        account.lock.release()

    async def take_back(self, name: str) -> AccountStatus:
        account = self.find(name)
        if account.lent_at is None:
            return account.status()
        account.lock.acquire()  # raises while it is open elsewhere
        account.lent_at = None
        account.pages.forget_login()
        if account.reason not in ("parked", "disabled"):
            account.unpark()
        return await self.check(name)

    # for the pool

    async def lend_inside(self, account: Account) -> None:
        """Drain and save it, and close its pages; we keep its lock. Raises NoAccount where a login has it already."""
        if account.reason == "elsewhere":
            raise NoAccount(account.why)
        await self._close(account)

    async def reclaim(self) -> None:
        """Take back what was lent and is open nowhere any more: a login window that died."""
        for account in tuple(self._roster.accounts.values()):
            at = account.lent_at
            if (
                at is not None
                and not account.lock.held
                and time.monotonic() - at > self._claim_s
                and account.lock.free()
            ):
                try:
                    await self.take_back(account.name)
                except RelayError as error:
                    logger.debug("{} not taken back yet: {}", account.name, error.message)

    async def _close(self, account: Account) -> None:
        """Nothing runs on it, and it has no page any more. It is lent meanwhile, and if that fails, no more.

        Raises NoAccount where a login has it: that would save into an account that is another by then, or gone.
        """
        if account.lent_at is not None:
            raise NoAccount(f"{account.name} is being logged in to already.")
        account.lent_at = time.monotonic()
        self._roster.turn()  # who waits for it alone is told
        try:
            await account.drained()
            await account.pages.renew_context()
        except BaseException:
            account.lent_at = None
            raise

    async def _renew(self, account: Account) -> Account:
        """The account anew from its folder, which has changed."""
        await self._close(account)
        account.lock.release()
        fresh = self._roster.accounts[account.name] = self._roster.load(account.profile)
        return fresh

    async def _probe(self, account: Account) -> None:
        """Ask the site, on a page beyond all limits if need be: one at a time, so at most one."""
        async with self._checking:
            idle = account.pages.idle
            slot = idle[0] if idle else account.pages.add()
            try:
                async with asyncio.timeout(CHECK_S), self._roster.leases.borrow(account, slot):
                    tab = await account.pages.tab(slot, cached=bool(idle))
                    if (await account.check(slot)).state is LoginState.LIVE:
                        account.models = tuple(await account.site.catalogue(tab))
            except TimeoutError:
                raise BrowserFault(f"{account.name} could not be checked within {CHECK_S:g} s.") from None
            except (CdpError, PageException) as error:
                raise BrowserFault(f"{account.name} could not be checked ({error}).") from None
        await account.pages.save()
