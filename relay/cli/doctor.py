"""`relay doctor`: examine sites on real accounts, in this process and a browser of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

from relay import log
from relay.cli.borrow import borrowed
from relay.cli.console import complain, state
from relay.cli.server import ServerClient
from relay.errors import BadRequest, NoAccount
from relay.pool.doctor import Step, choose, doctor, first_difference, render
from relay.pool.profiles import Profile, discover
from relay.pool.sealing import Keyring
from relay.private import private_folder, write_private
from relay.settings import Settings
from relay.sites.registry import SITES, site_class


def run_doctor(site: str | None, account: str | None, report: Path | None) -> int:
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
    texts, failed = [], False
    for profile in chosen:
        print(f"{profile.site}/{profile.account}", flush=True)
        with borrowed(profile, server):
            steps = asyncio.run(_examine(profile, settings))
        failed = failed or first_difference(steps) is not None
        texts.append(_conclude(profile, settings, steps, report))
    if report is not None:
        write_private(report, "\n".join(texts))
        print(f"report: {report}")
    return 1 if failed else 0


async def _examine(profile: Profile, settings: Settings) -> list[Step]:
    steps = []
    async for step in doctor(profile, settings):
        print(
            f"  {'ok     ' if step.ok else 'DIFFERS'} {step.name:<20} {step.took_ms:>6} ms  {step.detail}", flush=True
        )
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
    print(f"  what the page showed: {file}")
    return render(profile, settings, steps, [file.name])
