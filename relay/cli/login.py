"""`relay login`: a window in which the owner logs an account in; or the address of a remote one."""

from __future__ import annotations

import asyncio
import time

from relay.browser.display import has_display
from relay.cli.accounts import whole_names
from relay.cli.borrow import borrowed
from relay.cli.console import say
from relay.cli.server import ServerClient, account_path
from relay.errors import BadRequest, NoAccount
from relay.pool.alone import alone
from relay.pool.login import LoginWatch
from relay.pool.profiles import Profile, discover, profile_of
from relay.pool.sealing import Keyring
from relay.private import private_folder
from relay.settings import Settings
from relay.sites.registry import SITES, site_class


def run_login(site: str, account: str | None, url: str | None, *, remote: bool) -> int:
    """Log in; the exit status."""
    settings = Settings()
    if remote or url is not None:
        return _remote(settings, site, account, url)
    if not has_display():
        raise BadRequest(
            "There is no display here for a login window. `relay login --remote` gives the address of a page in which "
            "you can log in from any browser (the server must run); `relay accounts add --token-stdin` takes a token."
        )
    profile = _profile(settings, site, account)
    new = not profile.folder.is_dir()
    private_folder(profile.folder)
    try:
        server = ServerClient.find(settings)
        with borrowed(profile, server):
            label = asyncio.run(_window(profile, settings))
    except BaseException:
        if new and profile.stamp() == 0:  # no login came of it: nothing is left behind
            _remove_empty(profile)
        raise
    print(f"{profile.site}/{profile.account} is logged in{f' as {label}' if label else ''}.")
    return 0


def _profile(settings: Settings, site: str, account: str | None) -> Profile:
    """The account that is meant: the named one, the site's only one, or `default`. Raises BadRequest."""
    keys = Keyring.of(settings.profile_key)
    if account is None:
        known = [f"{one.site}/{one.account}" for one in discover(settings.profiles, set(SITES)) if one.site == site]
        account = whole_names([site], known)[0].partition("/")[2] if known else "default"
    profile = profile_of(settings.profiles, f"{site}/{account}", keys)
    kind = site_class(site)
    if kind.needs_base_url and not profile.settings().base_url:
        raise BadRequest(f"{kind.name} needs an address first: `relay accounts add {site} --base-url ADDRESS`.")
    return profile


async def _window(profile: Profile, settings: Settings) -> str:
    async with alone(profile, settings, headed=True) as opened:
        watch = LoginWatch(profile, opened.site, opened.browser, opened.options, settings.login)
        async with watch:
            say(f"Log in to {opened.site.name} in the window. It closes by itself once that has worked.")
            login = await watch.live()
    return login.label


def _remove_empty(profile: Profile) -> None:
    (profile.folder / ".lock").unlink(missing_ok=True)
    if not any(profile.folder.iterdir()):
        profile.folder.rmdir()


def _remote(settings: Settings, site: str, account: str | None, url: str | None) -> int:
    server = ServerClient.find(settings, url)
    if server is None:
        raise NoAccount("No server runs here: `relay serve` shows the login page, so start that first.")
    with server:
        known = [row["name"] for row in server.get("/admin/api/accounts")["accounts"]]
        of_site = [one for one in known if one.partition("/")[0] == site]
        if account is None:
            account = whole_names([site], of_site)[0].partition("/")[2] if of_site else "default"
        name = f"{site}/{account}"
        if name not in known:
            if url is not None:
                raise BadRequest(f"The server at {url} has no account {name}: add it there first.")
            private_folder(_profile(settings, site, account).folder)
            server.post(account_path(name, "take-up"))
        ticket = server.post(account_path(name, "login"))
    minutes = max(1, round((ticket["expires"] - time.time()) / 60))
    say(f"Open this within {minutes} minutes, once, in the browser in which you want to log in:")
    print(ticket["url"])
    return 0
