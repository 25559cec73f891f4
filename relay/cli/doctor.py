"""`relay doctor`: examine sites on real accounts, in this process and a browser of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from relay import log
from relay.cli.borrow import borrowed
from relay.cli.console import complain, say, state
from relay.cli.server import ServerClient
from relay.errors import BadRequest, NoAccount
from relay.pool.doctor import Step, choose, doctor, first_difference, render
from relay.pool.profiles import Profile, discover
from relay.pool.sealing import Keyring
from relay.private import private_folder, write_private
from relay.settings import Settings
from relay.sites.registry import SITES, site_class


def run_doctor(site: str | None, account: str | None, report: Path | None, *, as_json: bool = False) -> int:
    """Examine one site, or each that has an account; the exit status. Raises RelayError where it cannot begin."""
    settings = Settings()
    log.configure("DEBUG" if state.debug else "WARNING", debug=state.debug)
    profiles = list(discover(settings.profiles, set(SITES), Keyring.of(settings.profile_key)))
    if account is not None:
        if site is None:
            raise BadRequest("--account needs a site.")
        profiles = [profile for profile in profiles if profile.account == account]
    sites = [site_class(site).id] if site is not None else sorted({profile.site for profile in profiles})
    if not sites:
        raise NoAccount("No account is set up: `relay login SITE`.")
    chosen = [choose(profiles, one) for one in sites]
    server = ServerClient.find(settings)
    texts, found, failed = [], [], False
    for profile in chosen:
        name = f"{profile.site}/{profile.account}"
        tell = say if as_json else _print
        tell(name)
        with borrowed(profile, server):
            steps = asyncio.run(_examine(profile, settings, tell))
        found.append({"name": name, "steps": [_plain(step) for step in steps]})
        failed = failed or first_difference(steps) is not None
        texts.append(_conclude(profile, settings, steps, report))
    if report is not None:
        write_private(report, "\n".join(texts))
        tell(f"report: {report}")
    if as_json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
    return 1 if failed else 0


def _print(line: str) -> None:
    print(line, flush=True)


def _plain(step: Step) -> dict[str, Any]:
    return {"name": step.name, "ok": step.ok, "detail": step.detail, "took_ms": step.took_ms}


async def _examine(profile: Profile, settings: Settings, tell: Callable[[str], None]) -> list[Step]:
    steps = []
    async for step in doctor(profile, settings):
        tell(f"  {'ok     ' if step.ok else 'DIFFERS'} {step.name:<20} {step.took_ms:>6} ms  {step.detail}")
        steps.append(step)
    return steps


def _conclude(profile: Profile, settings: Settings, steps: list[Step], report: Path | None) -> str:
    """Say which step is the first that differs, and keep its picture beside the report, else in the home."""
    first = first_difference(steps)
    if first is None:
        return render(profile, settings, steps)
    complain(f"{profile.site}: the first step that differs is {first.name!r}.")
    if not first.picture:
        return render(profile, settings, steps)
    folder = settings.home / "screenshots" if report is None else report.parent
    if report is None:
        private_folder(folder)
    file = folder / f"doctor-{profile.site}-{first.name.replace(' ', '-').replace(':', '-')}.png"
    write_private(file, first.picture)
    say(f"  what the page showed: {file}")
    return render(profile, settings, steps, [file.name])
