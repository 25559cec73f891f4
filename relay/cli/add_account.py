"""`relay accounts add`: a new account, or a new login for one, from a pasted token or a file."""

from __future__ import annotations

import asyncio
import getpass
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay.browser.chromium import Chromium
from relay.cli.accounts import told
from relay.cli.borrow import borrowed
from relay.cli.console import complain, say
from relay.cli.server import ServerClient, account_path
from relay.errors import BadRequest, LoginNeeded, RelayError
from relay.pool.account_file import AccountFile, parse_account_file
from relay.pool.passthrough import adopted_state
from relay.pool.profiles import MAX_STATE_BYTES, Profile, profile_of
from relay.pool.sealing import Keyring
from relay.pool.state_files import exported_account, read_state
from relay.private import private_folder, read_private, write_private
from relay.settings import Settings
from relay.sites.base import LoginState
from relay.sites.registry import site_class

MAX_TOKEN_CHARS = 64 * 1024
State = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What the command line says of it."""

    site: str
    account: str
    token_stdin: bool = False
    state_file: Path | None = None
    base_url: str = ""
    proxy: str = ""
    label: str = ""


def add_account(new: NewAccount) -> int:
    """Add it, and let the running server take it up; the exit status. Nothing is written unless all is well."""
    settings = Settings()
    keys = Keyring.of(settings.profile_key)
    profile = profile_of(settings.profiles, f"{new.site}/{new.account}", keys)
    existed = profile.folder.is_dir()
    brings_login = new.token_stdin or new.state_file is not None
    if new.token_stdin and new.state_file is not None:
        raise BadRequest("--token-stdin and --state exclude each other.")
    if existed and not brings_login:
        raise BadRequest(
            f"{new.site}/{new.account} is there already. `relay login {new.site} --account {new.account}` logs it in "
            "again; another --account NAME adds another one."
        )
    content = _content(new.state_file)
    with _of(new.state_file):
        exported = exported_account(content) if content is not None else None
    raw, file = account_toml(profile, new, exported)
    if content is not None:
        with _of(new.state_file):
            state: State | None = read_state(content, site_class(profile.site), file.base_url)
    elif new.token_stdin:
        state = asyncio.run(_adopt(profile, file, settings, read_token()))
    else:
        state = None
    with ServerClient.find(settings) or nullcontext() as server:
        if existed:
            with borrowed(profile, server):
                _write(profile, raw, state)
        else:
            try:
                _write(profile, raw, state)
            except BaseException:
                shutil.rmtree(profile.folder, ignore_errors=True)
                raise
            if server is not None:
                _take_up(server, f"{new.site}/{new.account}")
        return _report(profile, state is not None, server)


def _content(file: Path | None) -> bytes | None:
    content = read_private(file, MAX_STATE_BYTES) if file is not None else None
    if file is not None and content is None:
        raise BadRequest(f"{file} does not exist.")
    return content


@contextmanager
def _of(file: Path | None) -> Iterator[None]:
    """What is wrong with a file's content is told with its name."""
    try:
        yield
    except BadRequest as error:
        raise BadRequest(f"{file}: {error.message}") from None


def account_toml(profile: Profile, new: NewAccount, exported: bytes | None) -> tuple[bytes | None, AccountFile]:
    """account.toml as it is to be written (None: as it is), and what it says. Raises BadRequest.

    What the command line says wins over what came with an exported account.
    """
    said = {"label": new.label, "base_url": new.base_url, "proxy": new.proxy}
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in said.items() if value]
    path = profile.folder / "account.toml"
    if lines and path.exists():
        raise BadRequest(f"{path} is there already: change it there.")
    raw = "".join(lines).encode("utf-8", "surrogatepass") if lines else None if path.exists() else exported
    file = parse_account_file(raw, path) if raw is not None else profile.settings()
    kind = site_class(profile.site)
    if kind.needs_base_url and not file.base_url:
        raise BadRequest(f"{kind.name} has no address of its own: name one with --base-url.")
    return raw, file


def read_token() -> str:
    """A token from standard input, or from a hidden prompt on a terminal: never an argument. Raises BadRequest."""
    text = getpass.getpass("Token: ") if sys.stdin.isatty() else sys.stdin.read(MAX_TOKEN_CHARS + 2)
    token = text.strip()
    if not token:
        raise BadRequest("No token came by standard input.")
    if len(token) > MAX_TOKEN_CHARS:
        raise BadRequest(f"A token has at most {MAX_TOKEN_CHARS} characters.")
    if not token.isprintable():
        raise BadRequest("A token is one line without control characters.")
    return token


async def _adopt(profile: Profile, file: AccountFile, settings: Settings, token: str) -> State:
    site, options = profile.site_of(file, settings.home / "sites")
    if site.token_pattern is not None and not site.token_pattern.fullmatch(token):
        raise BadRequest(f"This has not the shape of a token of {site.name}.")
    say(f"asking {site.name} about the token…")
    browser = Chromium(settings.browser_of(profile.site))
    await browser.start()
    try:
        login, state = await adopted_state(site, token, browser, options)
    finally:
        await browser.stop()
    if login.state is not LoginState.LIVE:
        why = login.detail or login.state.value
        raise LoginNeeded(f"{site.name} does not take the token ({why}). Nothing was added.")
    return state


def _write(profile: Profile, raw: bytes | None, state: State | None) -> None:
    private_folder(profile.folder)
    if raw is not None:
        write_private(profile.folder / "account.toml", raw)
    if state is not None:
        profile.save(state)


def _take_up(server: ServerClient, name: str) -> None:
    try:
        server.post(account_path(name, "take-up"))
    except RelayError as error:  # it is there all the same; how it stands is told below
        complain(error.message)


def _report(profile: Profile, has_login: bool, server: ServerClient | None) -> int:
    name = f"{profile.site}/{profile.account}"
    if server is not None:
        rows = server.get("/admin/api/accounts")["accounts"]
        row = next(row for row in rows if row["name"] == name)
        print(f"{name}: {told(row)}")
        return 0 if row["state"] in ("ready", "busy", "new") else 1
    kind = site_class(profile.site)
    print(f"{name} was added: {profile.folder}")
    if not has_login and not kind.needs_base_url:
        say(f"Now log in: `relay login {profile.site} --account {profile.account}`")
    else:
        say(f"`relay accounts check {name}` asks the site about the login; `relay serve` uses it.")
    return 0
