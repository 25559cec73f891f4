"""Where Chromium is looked for, in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.browser.executable import FULL_NAMES, SHELL_NAMES, Mode, find
from relay.errors import BrowserFault


def made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    path.chmod(0o755)
    return path


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Where Playwright would put its full Chromium."""
    return tmp_path / "cache" / "chromium-1300" / "chrome-linux64" / "chrome"


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on the PATH; empty."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr("relay.browser.executable.MAC_APPS", ())
    return folder


def shell_of(own: Path, revision: int) -> Path:
    return (
        own.parents[2]
        / f"chromium_headless_shell-{revision}"
        / "chrome-headless-shell-linux64"
        / "chrome-headless-shell"
    )


def test_the_setting_comes_first(own: Path, system: Path, tmp_path: Path) -> None:
    setting = made(tmp_path / "mine")
    made(own), made(shell_of(own, 1300)), made(system / "chromium")
    for mode in ("shell", "new", "headed"):
        assert find(setting, own, mode) == setting


def test_playwrights_own_comes_next(own: Path, system: Path) -> None:
    made(system / "chromium"), made(system / "chromium-headless-shell"), made(own)
    shell = made(shell_of(own, 1300))
    made(shell.with_name("LICENSE.headless_shell")), made(shell.with_name("zz-headless-shell.pak"))
    made(shell_of(own, 999)), made(shell_of(own, 1400))
    assert find(None, own, "shell") == shell
    shell.unlink()
    assert find(None, own, "shell") == shell_of(own, 1400)
    assert find(None, own, "new") == find(None, own, "headed") == own


@pytest.mark.parametrize(
    ("mode", "names"), [("shell", (*SHELL_NAMES, *FULL_NAMES)), ("new", FULL_NAMES), ("headed", FULL_NAMES)]
)
def test_the_system_comes_last(own: Path, system: Path, mode: Mode, names: tuple[str, ...]) -> None:
    for name in reversed(names):
        newest = made(system / name)
        assert find(None, own, mode) == newest


def test_a_shell_cannot_show_itself(own: Path, system: Path) -> None:
    made(system / "chromium-headless-shell")
    with pytest.raises(BrowserFault, match="headed"):
        find(None, own, "headed")


def test_none_at_all_says_what_to_install(own: Path, system: Path) -> None:
    with pytest.raises(BrowserFault, match=r"playwright install chromium.*RELAY_BROWSER__EXECUTABLE"):
        find(None, own, "shell")


def test_a_setting_that_is_wrong(own: Path, tmp_path: Path) -> None:
    with pytest.raises(BrowserFault, match="not a file"):
        find(tmp_path, own, "shell")
    (tmp_path / "plain").write_text("")
    with pytest.raises(BrowserFault, match="chmod"):
        find(tmp_path / "plain", own, "shell")
