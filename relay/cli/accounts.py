"""`relay accounts`: what there is and how it stands, added, checked, parked, resumed, removed, exported.

All is done by the running server of this home, or by the one at `--url`; without a server, on the home's files.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from relay.cli.console import complain, say
from relay.cli.server import ServerClient, account_path
from relay.errors import BadRequest, RelayError
from relay.pool.face import AccountStatus
from relay.pool.offline import OfflineAccounts, offline_accounts
from relay.settings import Settings

Verb = Literal["check", "park", "resume", "remove"]
Row = dict[str, Any]
COLOURS = {"ready": "green", "busy": "green", "new": "cyan", "cooling": "yellow", "disabled": "dim"}


def list_accounts(url: str | None, *, as_json: bool) -> None:
    """A table of all accounts, or JSON."""
    settings = Settings()
    server = ServerClient.find(settings, url)
    if server is None:
        rows = asyncio.run(_offline_rows(settings))
    else:
        with server:
            rows = server.get("/admin/api/accounts")["accounts"]
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
    elif rows:
        _table(rows)
        if server is None:
            say("(no server runs here: these are the states that the last one left)")
    else:
        say(f"No account yet in {settings.profiles}. `relay accounts add SITE` makes one; `relay sites` lists them.")


def act(verb: Verb, names: Sequence[str], url: str | None, *, as_json: bool, every: bool = False) -> int:
    """Do it with each named account (`every`: with all); the exit status."""
    settings = Settings()
    server = ServerClient.find(settings, url)
    if server is None:
        done = asyncio.run(_offline(settings, verb, names, every=every))
    else:
        with server:
            done = _online(server, verb, names, every=every)
    if as_json:
        print(json.dumps([row for row, _ in done], ensure_ascii=False, indent=2))
    else:
        for row, error in done:
            if error:
                complain(f"{row['name']}: {error}")
            else:
                print(f"{row['name']}: {told(row)}")
    return int(any(error for _, error in done) or (verb in ("check", "resume") and any(_sick(row) for row, _ in done)))


def _sick(row: Row) -> bool:
    return row.get("state") not in ("ready", "busy", "new", "cooling")


def told(row: Row) -> str:
    """How an account stands, in a line."""
    if row["state"] == "removed":
        return "removed"
    label = f" ({row['label']})" if row.get("label") and row["label"] != row["account"] else ""
    return f"{row['state']}{label}{': ' if row.get('why') else ''}{row.get('why', '')}"


Done = list[tuple[Row, str]]


def _online(server: ServerClient, verb: Verb, names: Sequence[str], *, every: bool) -> Done:
    known = [row["name"] for row in server.get("/admin/api/accounts")["accounts"]]
    done: Done = []
    for name in whole_names(names, known, every=every):
        try:
            if verb == "remove":
                server.delete(account_path(name))
                done.append((_removed(name), ""))
            else:
                done.append((server.post(account_path(name, verb)), ""))
        except RelayError as error:
            done.append(({"name": name, "error": error.code}, error.message))
    return done


async def _offline(settings: Settings, verb: Verb, names: Sequence[str], *, every: bool) -> Done:
    done: Done = []
    async with offline_accounts(settings) as accounts:
        known = [status.name for status in accounts.all()]
        for name in whole_names(names, known, every=every):
            try:
                done.append((await _offline_act(accounts, verb, name), ""))
            except RelayError as error:
                done.append(({"name": name, "error": error.code}, error.message))
    return done


async def _offline_act(accounts: OfflineAccounts, verb: Verb, name: str) -> Row:
    match verb:
        case "check":
            return row_of(await accounts.check(name))
        case "park":
            return row_of(await accounts.park(name))
        case "resume":
            return row_of(await accounts.resume(name))
    await accounts.remove(name)
    return _removed(name)


async def _offline_rows(settings: Settings) -> list[Row]:
    async with offline_accounts(settings) as accounts:
        return [row_of(status) for status in accounts.all()]


def _removed(name: str) -> Row:
    return {"name": name, "state": "removed"}


def row_of(status: AccountStatus) -> Row:
    """An account as the server's admin API shows it."""
    return {"name": status.name, **asdict(status)}


def whole_names(names: Sequence[str], known: Sequence[str], *, every: bool = False) -> list[str]:
    """`<site>/<account>` of what was given; a site alone means its only account. Raises BadRequest."""
    if every and not names:
        return list(known)
    whole = []
    for name in names:
        of_site = [one for one in known if one.partition("/")[0] == name]
        if "/" in name:
            whole.append(name)
        elif len(of_site) == 1:
            whole += of_site
        elif of_site:
            raise BadRequest(f"{name} has several accounts: name one of {', '.join(of_site)}.")
        else:
            raise BadRequest(f"There is no account of {name[:64]!r}. There are: {', '.join(known) or 'none'}.")
    return whole


def _table(rows: Sequence[Row]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("account", "state", "chats", "pages", "limits", "who", "why"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        reason = "" if row["reason"] in ("", row["state"], "challenge") else f" ({row['reason']})"
        why = row["why"] or (f"until {time.strftime('%H:%M:%S', time.localtime(row['until']))}" if row["until"] else "")
        table.add_row(
            row["name"],
            Text(row["state"] + reason, style=COLOURS.get(row["state"], "red")),
            str(row["chats"]),
            str(row["tabs"]),
            used_up(row.get("quotas", ())),
            row["label"] if row["label"] != row["account"] else "",
            why,
        )
    # Piped somewhere, a line is an account, however long.
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 400)
    console.print(table)


def used_up(quotas: Sequence[Row]) -> str:
    """How far an account's limits are used up: `5h 12%, 7d 3%`, and of a full one when it opens again."""
    said = []
    for quota in quotas:
        used, resets_at = quota["used"], quota["resets_at"]
        full = used is not None and used >= 1 and resets_at is not None
        opens = time.strftime(" until %d %b %H:%M", time.localtime(resets_at)) if full else ""
        said.append(f"{quota['window']} {'?' if used is None else f'{used:.0%}'}{opens}")
    return ", ".join(said)


def export_account(name: str, output: Path | None) -> None:
    """Write one file that holds the account, login and all; to standard output where no file is named."""
    from relay.pool.profiles import profile_of
    from relay.pool.sealing import Keyring
    from relay.pool.state_files import export, write_export

    settings = Settings()
    profile = profile_of(settings.profiles, name, Keyring.of(settings.profile_key))
    if output is not None:
        write_export(profile, output)
        say(f"{output} holds the login of {name}: move it as you would a password.")
    elif sys.stdout.isatty():
        raise BadRequest("The file holds the login: name it with --output, or pipe it somewhere.")
    else:
        sys.stdout.buffer.write(export(profile))
