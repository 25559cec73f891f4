"""Accounts on disk, with hostile files."""

import json
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import BadRequest
from relay.pool.profiles import AccountFile, Profile, discover

STATE = {"cookies": [{"name": "a", "value": "秘密"}], "origins": []}


def profile(folder: Path) -> Profile:
    folder.mkdir(parents=True, exist_ok=True)
    return Profile("demo", "ann", folder)


def test_a_saved_state_comes_back_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    ours = profile(tmp_path / "new" / "folder")
    ours.save(STATE)
    assert ours.load() == STATE
    assert stat.S_IMODE(ours.state_file.stat().st_mode) == 0o600
    assert [path.name for path in ours.folder.iterdir()] == ["state.json"], "a temporary file was left behind"


def test_no_state_is_none_and_its_stamp_is_zero(tmp_path: Path) -> None:
    ours = profile(tmp_path)
    assert ours.load() is None
    assert ours.stamp() == 0
    ours.save(STATE)
    assert ours.stamp() > 0


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"cokies": []}', "\x00\x01", '"' + "x" * 10_000 + '"'])
def test_a_damaged_state_is_an_error_that_names_the_file_and_leaves_it(tmp_path: Path, content: str) -> None:
    ours = profile(tmp_path)
    ours.state_file.write_text(content)
    with pytest.raises(BadRequest, match=r"state\.json"):
        ours.load()
    assert ours.state_file.read_text() == content


@given(st.binary(max_size=200))
def test_any_bytes_in_place_of_a_state(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    ours = profile(tmp_path_factory.mktemp("state"))
    ours.state_file.write_bytes(content)
    try:
        state = ours.load()
    except BadRequest:
        return
    assert state is not None
    assert {"cookies", "origins"} & state.keys()


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("base_url = 3", "base_url"),
        ("bse_url = 'x'", "bse_url"),
        ("[limits]\nconcurrency = 0", r"limits\.concurrency"),
        ("label = 'unclosed", "TOML"),
        ("[limits]\nconcurrency = 'many'", r"limits\.concurrency"),
    ],
)
def test_a_wrong_account_file_says_where(tmp_path: Path, content: str, names: str) -> None:
    ours = profile(tmp_path)
    (tmp_path / "account.toml").write_text(content)
    with pytest.raises(BadRequest, match=names):
        ours.settings()


def test_an_account_file_is_optional(tmp_path: Path) -> None:
    assert profile(tmp_path).settings() == AccountFile()


def test_discovery_takes_known_sites_and_sane_names_only(tmp_path: Path) -> None:
    for name in ("demo/ann", "demo/bob@home.org", "demo/.hidden", "demo/a b", "nosite/ann", "kimi/x"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "README.md").write_text("not an account")
    found = [f"{p.site}/{p.account}" for p in discover(tmp_path, {"demo", "kimi"})]
    assert found == ["demo/ann", "demo/bob@home.org", "kimi/x"]
    assert list(discover(tmp_path / "nowhere", {"demo"})) == []


def test_the_state_is_json_with_plain_characters(tmp_path: Path) -> None:
    ours = profile(tmp_path)
    ours.save(STATE)
    assert json.loads(ours.state_file.read_text("utf-8")) == STATE
