"""Where Chromium is: the setting, Playwright's own, the system's, in that order."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Literal

from relay.errors import BrowserFault

Mode = Literal["shell", "new", "headed"]
SHELL_NAMES = ("chromium-headless-shell", "chrome-headless-shell", "headless_shell")
PLAYWRIGHT_SHELLS = ("chrome-headless-shell", "headless_shell", "chrome-headless-shell.exe", "headless_shell.exe")
FULL_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome", "microsoft-edge")
MAC_APPS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
INSTALL = (
    "Install one: `playwright install chromium`, or on Debian `apt-get install chromium-headless-shell chromium`, "
    "or name it with RELAY_BROWSER__EXECUTABLE."
)


def playwrights_own(full: Path, mode: Mode) -> Path | None:
    """Playwright's download for a mode, found from where it would put the full Chromium."""
    if mode != "shell":
        return full if full.is_file() else None
    home = next((folder for folder in full.parents if folder.name.startswith("chromium-")), None)
    if home is None:
        return None
    # Its own revision first, then the newest.
    folders = [home.with_name(home.name.replace("chromium-", "chromium_headless_shell-"))]
    folders += sorted(home.parent.glob("chromium_headless_shell-*"), key=_revision, reverse=True)
    shells = (path for folder in folders for name in PLAYWRIGHT_SHELLS for path in folder.glob(f"*/{name}"))
    return next((path for path in shells if path.is_file()), None)


def _revision(folder: Path) -> int:
    number = folder.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0


def system(mode: Mode) -> Path | None:
    """The system's browser for a mode; a full Chromium also serves the headless shell's mode."""
    names = (*SHELL_NAMES, *FULL_NAMES) if mode == "shell" else FULL_NAMES
    for name in names:
        if found := shutil.which(name):
            return Path(found)
    apps = [Path(app) for app in MAC_APPS] if sys.platform == "darwin" else []
    return next((app for app in apps if app.is_file()), None)


def find(setting: Path | None, own: Path, mode: Mode) -> Path:
    """The executable to launch. Raises BrowserFault that says what to install."""
    if setting is not None:
        if not setting.is_file():
            raise BrowserFault(f"RELAY_BROWSER__EXECUTABLE names {setting}, which is not a file.")
        if not os.access(setting, os.X_OK):
            raise BrowserFault(f"RELAY_BROWSER__EXECUTABLE names {setting}, which may not be executed; try chmod +x.")
        return setting
    found = playwrights_own(own, mode) or system(mode)
    if found is None:
        raise BrowserFault(f"No Chromium was found for mode {mode!r}. {INSTALL}")
    return found


def main() -> None:
    """`python -m relay.browser.executable [MODE]`: print what would be launched; exit status 1 when there is none."""
    from playwright.sync_api import sync_playwright

    mode: Mode = "shell"
    for argument in sys.argv[1:]:
        if argument in ("shell", "new", "headed"):
            mode = argument  # type: ignore[assignment]
    setting = os.environ.get("RELAY_BROWSER__EXECUTABLE")
    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
    try:
        sys.stdout.write(f"{find(Path(setting) if setting else None, own, mode)}\n")
    except BrowserFault as error:
        sys.exit(error.message)


if __name__ == "__main__":
    main()
