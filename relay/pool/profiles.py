"""Accounts on disk: `browser_profiles/<site>/<account>/` with `account.toml` and `state.json` (0600, atomic).

With a key the state is `state.json.enc` (sealing.py). What account.toml may say is in account_file.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from loguru import logger

from relay.errors import BadRequest, NoAccount
from relay.pool.account_file import MAX_BYTES, parse_account_file
from relay.pool.account_file import AccountFile as AccountFile
from relay.pool.locks import AccountLock
from relay.pool.sealing import SETTING, Keyring
from relay.private import leftovers, private_folder, read_private, remove_leftovers, write_private
from relay.sites.base import Site, SiteConfig
from relay.sites.registry import SITES, site_class

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
MAX_STATE_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Profile:
    """One account's folder."""

    site: str
    account: str
    folder: Path
    keys: Keyring | None = field(default=None, repr=False, compare=False)
    """Encrypts the state; without it the state is plain."""

    @property
    def state_file(self) -> Path:
        """Cookies and storage; 0600."""
        return self.folder / "state.json"

    @property
    def sealed_file(self) -> Path:
        """The same, encrypted. Where it exists it is the one in use."""
        return self.folder / "state.json.enc"

    def lock(self) -> AccountLock:
        """The account's lock, not yet taken. Whoever opens the account holds it meanwhile."""
        return AccountLock(self.folder / ".lock")

    def settings(self) -> AccountFile:
        """account.toml, validated. Raises BadRequest with file, line and field."""
        file = self.folder / "account.toml"
        raw = read_private(file, MAX_BYTES)
        return AccountFile() if raw is None else parse_account_file(raw, file)

    def site_of(self, file: AccountFile, overlays: Path) -> tuple[Site, dict[str, object]]:
        """Its site as account.toml wants it, and Playwright's options for its context. Raises BadRequest."""
        kind = site_class(self.site)
        if kind.needs_base_url and not file.base_url:
            raise BadRequest(f"{self.folder / 'account.toml'} names no base_url")
        return kind(SiteConfig(self.account, file.base_url, overlays, file.options)), file.context_options()

    def stamp(self) -> int:
        """Changes when the state file in use was written by someone (0: there is none)."""
        for file in (self.sealed_file, self.state_file):
            with suppress(FileNotFoundError):
                return file.stat().st_mtime_ns
        return 0

    def load(self) -> Mapping[str, Any] | None:
        """The saved state, or None.

        Raises BadRequest when the file is damaged, or encrypted and the key is missing or wrong.
        """
        file = self.sealed_file
        sealed = read_private(file, MAX_STATE_BYTES)
        if sealed is None:
            file = self.state_file
            raw = read_private(file, MAX_STATE_BYTES)
        else:
            raw = self._keyring().open(sealed, file)
            if self._has_unused_state():
                logger.warning("{} is newer but not used: to log in with it, remove {}", self.state_file, file)
        return None if raw is None else _parse_state(raw, file)

    def save(self, state: Mapping[str, Any]) -> None:
        """Write the state: whole or not at all, readable by its owner only.

        With keys it is encrypted under the first, and a plain file that it replaces is removed. Raises BadRequest
        rather than replace an encrypted state that the keys do not open, OSError when the disk fails.
        """
        # A page may store half a surrogate pair: as an escape it is JSON, as UTF-8 it is nothing.
        raw = json.dumps(state, ensure_ascii=False).encode("utf-8", "backslashreplace")
        sealed = read_private(self.sealed_file, MAX_STATE_BYTES)
        private_folder(self.folder)
        if sealed is None and self.keys is None:
            write_private(self.state_file, raw)
            return
        keys = self._keyring()
        if sealed is not None:
            keys.key_of(sealed, self.sealed_file)
        keep_plain = self._has_unused_state()
        write_private(self.sealed_file, keys.seal(raw, sealed))
        if not keep_plain:
            self.state_file.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what a killed process left of its writes, unless another process has the account open."""
        if leftovers(self.folder):
            try:
                with self.lock():
                    remove_leftovers(self.folder)
            except NoAccount:
                logger.debug("{} is open elsewhere; not swept", self.folder)

    def _keyring(self) -> Keyring:
        if self.keys is None:
            raise BadRequest(f"{self.sealed_file} is encrypted: set {SETTING} to the passphrase it was saved under.")
        return self.keys

    def _has_unused_state(self) -> bool:
        """Whether someone put a plain state beside the encrypted one later; it may be a login that exists only there.

        Its change time tells, which is when it came to lie there: a copy or a move may keep the modification time.
        """
        try:
            return self.state_file.stat().st_ctime_ns > self.sealed_file.stat().st_ctime_ns
        except FileNotFoundError:
            return False


def _parse_state(raw: bytes, file: Path) -> Mapping[str, Any]:
    try:
        state = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{file} is damaged ({error}). Log in again, or restore the file.") from None
    if not isinstance(state, dict) or not {"cookies", "origins"} & state.keys():
        raise BadRequest(f"{file} is not a saved browser state (no cookies, no origins).")
    return state


def profile_of(profiles: Path, name: str, keys: Keyring | None = None) -> Profile:
    """The profile `<site>/<account>`, be it there or not. Raises BadRequest for what cannot be one."""
    site, _, account = name.partition("/")
    if site not in SITES:
        near = get_close_matches(site, SITES, n=1)
        guess = f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(SITES)}."
        raise BadRequest(f"{site[:64]!r} is no site that relay knows.{guess}")
    if not NAME.fullmatch(account):
        raise BadRequest(f"{account[:64]!r} is no account name: letters, digits, . _ @ -, at most 64, no dot first.")
    return Profile(site, account, profiles / site / account, keys)


def discover(home: Path, known_sites: set[str], keys: Keyring | None = None) -> Iterator[Profile]:
    """Every account under `browser_profiles/`, in the order of their names; what killed writes left is removed."""
    if not home.is_dir():
        return
    for site in sorted(path for path in home.iterdir() if path.is_dir()):
        if site.name not in known_sites:
            logger.warning("{} is no site that relay knows; ignored", site)
            continue
        for folder in sorted(path for path in site.iterdir() if path.is_dir()):
            if not NAME.fullmatch(folder.name):
                logger.warning("{} is no account name (letters, digits, . _ @ -); ignored", folder)
                continue
            profile = Profile(site.name, folder.name, folder, keys)
            try:
                profile.sweep()
            except (OSError, BadRequest) as error:  # not ours to clean; loading it tells whether it can be used
                logger.warning("{} could not be swept: {}", folder, error)
            yield profile
