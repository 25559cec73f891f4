"""What only Claude has, through the whole relay and its replica: windows of limits, challenges, projects, artifacts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from relay.pool.doctor import choose, doctor
from relay.pool.profiles import discover
from relay.settings import BrowserSettings, Settings
from relay.sites.registry import SITES
from tests.e2e import accounts
from tests.e2e.client import ask, refusal, sdk
from tests.e2e.relay_server import RelayServer, environment
from tests.replicas import Fault, Piece, Replicas
from tests.replicas.claude import session_key, storage_state
from tests.replicas.scenario import Page
from tests.sites.claude.conftest import Claude, claude

PROJECT = "01234567-89ab-4cde-8f01-23456789abcd"
both = pytest.mark.parametrize("driver", ["fetch", "screen"])
screen = pytest.mark.parametrize("driver", ["screen"])
fetch = pytest.mark.parametrize("driver", ["fetch"])


async def turns(site: Claude, prompt: str) -> list[Any]:
    """(conversation, turn) of each time that the site was asked this."""
    seen = await site.seen()
    return [(chat, turn) for chat in seen.conversations for turn in chat.turns if turn.prompt == prompt]


# limits


def listed(site: Claude) -> str:
    """`relay accounts list`."""
    command = [sys.executable, "-m", "relay", "accounts", "list"]
    env = environment({"RELAY_HOME": str(site.server.home)})
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=True).stdout


@both
async def test_how_far_the_limits_are_used_up(site: Claude, driver: str) -> None:
    await site.play(options={"utilization": 0.5})
    await ask(site.server, "claude", "half")
    quotas = {quota["window"]: quota for quota in site.row()["quotas"]}
    assert quotas["5h"]["used"] == 0.5
    assert quotas["7d"]["resets_at"] > 1_700_000_000
    assert "5h 50%" in listed(site)


@pytest.mark.parametrize("driver", ["fetch", "screen"])
@pytest.mark.parametrize("within", ["status", "error"])
async def test_a_limit_that_is_used_up(replicas: Replicas, tmp_path: Path, driver: str, within: str) -> None:
    fault = Fault.model_validate({"kind": within, "status": 429, "code": "exceeded_limit", "resets_in_s": 3000})
    with claude(replicas, tmp_path, driver) as site:
        await site.play(faults=[fault])
        failed = await refusal(site.server, "claude", "too much")
        assert (failed.status, failed.code) == (429, "rate_limit_exceeded")
        assert 2900 < int(failed.heard.headers["retry-after"]) <= 3000
        assert site.row()["state"] == "cooling"


# challenges


@both
@pytest.mark.parametrize("status", [302, 403])
async def test_a_challenge_is_no_logout(replicas: Replicas, tmp_path: Path, driver: str, status: int) -> None:
    with claude(replicas, tmp_path, driver) as site:
        await site.play()
        await ask(site.server, "claude", "before")
        await site.play(challenge=True, options={"challenge_status": status})
        failed = await refusal(site.server, "claude", "hi")
        assert (failed.status, failed.code) == (503, "challenge_needed")
        assert site.row()["state"] == "challenged"
        await site.play()


@both
async def test_a_challenge_of_one_call(site: Claude, driver: str) -> None:
    await site.play(faults=[Fault(kind="challenge", times=1)])
    failed = await refusal(site.server, "claude", "hi")
    assert failed.code == "challenge_needed"
    assert site.row()["state"] == "ready", "the site was asked, and it knows the login"
    assert (await ask(site.server, "claude", "again")).text == "So it is."


# the page


@screen
async def test_the_page_chooses_the_model(site: Claude, driver: str) -> None:
    await site.play()
    for model in ("claude-opus-5-5", "claude-haiku-4-5", "claude/claude-sonnet-4-6"):
        await ask(site.server, model, f"of {model}")
    asked = [(await turns(site, f"of {model}"))[0][1].model for model in ("claude-opus-5-5", "claude-haiku-4-5")]
    assert asked == ["claude-opus-5-5", "claude-haiku-4-5-20251001"]


@screen
async def test_a_long_prompt_is_no_file(site: Claude, driver: str) -> None:
    await site.play()
    prompt = "".join(f"{number}. Größe 漢字 🦉\n{'' if number % 3 else chr(10)}" for number in range(3000)) + "end"
    assert (await ask(site.server, "claude", prompt)).text == "So it is."
    [(_, turn)] = await turns(site, prompt)
    assert turn.files == []


@screen
async def test_another_branch_is_told_anew(site: Claude, driver: str) -> None:
    await site.play()
    first = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "So it is."}]
    server = site.server
    await ask(server, "claude", "one")
    for last in ("two", "other"):
        await _go_on(server, [*first, {"role": "user", "content": last}])
    [(chat, one)] = await turns(site, "one")
    [(second, two)] = await turns(site, "two")
    assert (second.id, two.parent) == (chat.id, one.answer)
    assert await turns(site, "other") == [], "the page would have said it after `two`"
    [(third, _)] = await turns(site, "User: one\n\nAssistant: So it is.\n\nUser: other")
    assert third.id != chat.id
    # And the first is as it was: it goes on.
    await _go_on(server, [*first, {"role": "user", "content": "two"}, first[1], {"role": "user", "content": "three"}])
    [(again, three)] = await turns(site, "three")
    assert (again.id, three.parent) == (chat.id, two.answer)


async def _go_on(server: RelayServer, messages: list[dict[str, str]]) -> None:
    async with sdk(server) as (client, _):
        await client.chat.completions.create(model="claude", messages=messages)  # type: ignore[arg-type]


@screen
async def test_an_artifact_is_text(site: Claude, driver: str) -> None:
    await site.play(options={"artifact": "# A page\n```py\nx\n```\n"})
    got = await ask(site.server, "claude", "make one")
    assert got.text == "So it is.\n\n**Made**\n\n````\n# A page\n```py\nx\n```\n````\n"


# what only the API can


@fetch
async def test_a_project(site: Claude, driver: str) -> None:
    await site.play()
    await ask(site.server, f"claude/{PROJECT}", "in the project")
    [(_, turn)] = await turns(site, "in the project")
    assert turn.agent == PROJECT


@fetch
async def test_marks_stand_where_they_stood(site: Claude, driver: str) -> None:
    pages = [Page(url="https://a.example/x_(1)", title="X"), Page(url="https://b.example/y", title="Y")]
    await site.play(
        Piece(kind="search", text="why blue", pages=pages), Piece(text="It is"), Piece(kind="cite", page=2),
        Piece(text=" so"), Piece(kind="cite", page=1), Piece(text="."),
    )  # fmt: skip
    got = await ask(site.server, "claude-search", "why?")
    assert got.text == "It is[2](https://b.example/y) so[1](https://a.example/x_%281%29)."
    assert "Searching: why blue" in got.reasoning
    assert got.sources == ["https://a.example/x_%281%29", "https://b.example/y"]
    assert (await turns(site, "why?"))[0][1].search


async def test_temporary_chats(replicas: Replicas, tmp_path: Path) -> None:
    with claude(replicas, tmp_path, "fetch", options={"temporary": True}) as site:
        await site.play()
        await ask(site.server, "claude", "between us")
        [(chat, _)] = await turns(site, "between us")
        assert chat.temporary


@pytest.mark.parametrize("driver", ["fetch", "screen", "dom"])
async def test_a_login_that_dies_under_an_open_page(replicas: Replicas, tmp_path: Path, driver: str) -> None:
    with claude(replicas, tmp_path, driver) as site:
        await site.play()
        await ask(site.server, "claude", "before")
        await site.play(login="dead")
        failed = await refusal(site.server, "claude", "hi")
        assert (failed.status, failed.code) == (503, "login_needed")
        assert site.row()["state"] == "login_needed"


async def test_the_doctor_finds_nothing(replicas: Replicas, tmp_path: Path) -> None:
    accounts.write(tmp_path, "claude", "patient", storage_state("patient"))
    browser = BrowserSettings(sandbox=False, host_rules=replicas.host_rules, trusted_spki=replicas.spki)
    profile = choose(list(discover(tmp_path / "browser_profiles", set(SITES))), "claude")
    steps = [step async for step in doctor(profile, Settings(home=tmp_path, browser=browser))]
    assert all(step.ok for step in steps), steps
    names = [step.name for step in steps]
    assert {"role input", "role attach", "role model"} <= set(names)
    assert names[-4:] == ["chat by fetch", "chat by screen", "chat by dom", "clean-up"]
    assert steps[-1].detail == "3 conversations deleted"


@fetch
async def test_tokens_that_live_and_that_are_dead(site: Claude, driver: str) -> None:
    """The page of a dead one goes over to its login while it is asked."""
    live, dead = session_key(f"{site.account}-live"), session_key(f"{site.account}-dead", ttl_s=-1)
    async with httpx.AsyncClient(base_url=site.server.url, trust_env=False, timeout=90) as http:
        for token, lives in ((live, True), (dead, False)):
            checked = await http.post("/token/check", json={"token": token, "site": "claude"})
            assert checked.json() == {"live": lives}, checked.text
