"""`relay doctor` on the demo site and on the Kimi replica: as they are, changed, and with a dead login."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from relay.errors import NoAccount
from relay.pool.doctor import Step, choose, doctor, first_difference, render
from relay.pool.profiles import Profile, discover
from relay.settings import BrowserSettings, Settings
from relay.sites.registry import SITES
from tests.e2e import accounts
from tests.e2e.relay_server import environment
from tests.e2e.world import World
from tests.replicas import Scenario

PNG = b"\x89PNG"


async def examined(home: Path, world: World, site: str) -> list[Step]:
    """The steps on the only account of a site in `home`."""
    browser = BrowserSettings(sandbox=False, host_rules=world.replicas.host_rules, trusted_spki=world.replicas.spki)
    settings = Settings(home=home, browser=browser)
    return [step async for step in doctor(profile_in(home, site), settings)]


def profile_in(home: Path, site: str) -> Profile:
    return choose(list(discover(home / "browser_profiles", set(SITES))), site)


def told(steps: list[Step]) -> dict[str, bool]:
    return {step.name: step.ok for step in steps}


async def test_a_site_that_is_as_it_should_be(world: World, tmp_path: Path) -> None:
    accounts.kimi(tmp_path, "doctor-well")
    steps = await examined(tmp_path, world, "kimi")
    assert all(step.ok for step in steps), steps
    names = list(told(steps))
    assert names[:3] == ["open", "login", "models"]
    assert {"role input", "role attach", "role login"} <= set(names)
    assert names[-4:] == ["chat by fetch", "chat by screen", "chat by dom", "clean-up"]
    assert steps[-1].detail == "3 conversations deleted"
    chats = await world.replicas.records(account="doctor-well", operation="chat")
    gone = await world.replicas.records(account="doctor-well", operation="delete")
    assert len(chats) == len(gone) == 3
    report = render(profile_in(tmp_path, "kimi"), Settings(home=tmp_path), steps)
    assert "Everything is as expected" in report
    assert "| chat by dom | ok |" in report


async def test_a_page_that_has_changed(world: World, tmp_path: Path) -> None:
    """Layout B: the site's API is as it was, so only what is on the screen differs."""
    accounts.kimi(tmp_path, "doctor-moved")
    await world.replicas.play("kimi", "doctor-moved", Scenario(layout="B"))
    steps = await examined(tmp_path, world, "kimi")
    first = first_difference(steps)
    assert first is not None
    assert first.name == "role input"
    assert "'input' element" in first.detail
    assert first.picture.startswith(PNG)
    found = told(steps)
    assert found["chat by fetch"]
    assert not found["chat by screen"]
    assert not found["role login"]
    report = render(profile_in(tmp_path, "kimi"), Settings(home=tmp_path), steps, ["a.png"])
    assert "**The first that differs: role input.**" in report
    assert "![a.png](a.png)" in report


async def test_a_dead_login_ends_it(world: World, tmp_path: Path) -> None:
    folder = accounts.demo(tmp_path, world.demo.address, "not the site's secret")
    steps = await examined(tmp_path, world, "demo")
    assert told(steps) == {"open": True, "login": False}
    assert "dead" in steps[-1].detail
    state = json.loads((folder / "state.json").read_text())
    report = render(profile_in(tmp_path, "demo"), Settings(home=tmp_path), steps)
    assert state["cookies"][0]["value"] not in report


async def test_files_that_cannot_be_used_and_an_account_that_is_open_elsewhere(world: World, tmp_path: Path) -> None:
    folder = accounts.kimi(tmp_path, "ann")
    (folder / "account.toml").write_text("labl = 3")
    [only] = await examined(tmp_path, world, "kimi")
    assert (only.name, only.ok) == ("files", False)
    assert "labl" in only.detail
    (folder / "account.toml").unlink()
    with profile_in(tmp_path, "kimi").lock(), pytest.raises(NoAccount, match="stop it first"):
        await examined(tmp_path, world, "kimi")
    with pytest.raises(NoAccount, match="relay login demo"):
        await examined(tmp_path, world, "demo")


def test_the_command(world: World, tmp_path: Path) -> None:
    accounts.demo(tmp_path, world.demo.address, world.secret)
    overlay = tmp_path / "sites" / "demo.toml"
    overlay.parent.mkdir()
    overlay.write_text('[roles]\nnew_chat = ["button#gone"]\n')
    env = environment({"RELAY_HOME": str(tmp_path)})
    report = tmp_path / "report.md"
    command = [sys.executable, "-m", "relay", "doctor", "demo", "--report", str(report), "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "DIFFERS role new_chat" in done.stderr
    [examined] = json.loads(done.stdout)
    assert examined["name"] == "demo/demo"
    assert next(step["name"] for step in examined["steps"] if not step["ok"]) == "role new_chat"
    assert "the first step that differs is 'role new_chat'" in done.stderr
    said = report.read_text("utf-8")
    assert "**The first that differs: role new_chat.**" in said
    assert "- selector overlay: yes" in said
    assert (tmp_path / "doctor-demo-role-new_chat.png").read_bytes().startswith(PNG)
    assert "chat by fetch | ok" in said
    none = subprocess.run([*command[:4], "kimi"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100)
    assert none.returncode == 1
    assert "No account of Kimi" in none.stderr
