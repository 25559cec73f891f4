"""Selector files and their overlays."""

import os
from pathlib import Path

import pytest

from relay.browser.screen import Candidate
from relay.errors import BadRequest
from relay.sites.registry import SITES
from relay.sites.selectors import SelectorFile, parse

ESSENTIAL = {"input", "send", "answer", "busy"}


@pytest.mark.parametrize("site", SITES)
def test_every_site_has_the_essential_roles(site: str) -> None:
    selectors = SelectorFile(site).current()
    assert selectors.evidence
    assert set(selectors.roles) >= ESSENTIAL
    assert all(selectors.roles.values()), "a role without candidates"


def test_an_overlay_wins_and_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = SelectorFile("demo", tmp_path)
    own = file.current()
    overlay = tmp_path / "demo.toml"
    overlay.write_text('[roles]\nsend = ["#mine", { css = "button", text = "Go" }]')
    assert file.current().roles["send"] == [Candidate("#mine"), Candidate("button", "Go")]
    assert file.current().roles["input"] == own.roles["input"]
    overlay.write_text('[roles]\nsend = ["#other"]')
    os.utime(overlay, ns=(1, 1))
    assert file.current().roles["send"] == [Candidate("#other")]
    overlay.unlink()
    assert file.current() == own


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[roles]\nsend = 3", "send"),
        ("[roles]\nsend = [{ text = 'no css' }]", "css"),
        ("rules = 1", "rules"),
        ("ways = ['telepathy']", "ways"),
        ("[roles", "TOML"),
    ],
)
def test_a_wrong_file_says_where(text: str, names: str) -> None:
    with pytest.raises(BadRequest, match=names):
        parse(text, "mine.toml")
