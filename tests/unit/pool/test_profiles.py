"""Accounts on disk, with hostile files."""

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import example, given, settings
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


@settings(deadline=None)
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


def test_folders_are_their_owners_only(tmp_path: Path) -> None:
    made = Profile("demo", "ann", tmp_path / "made")
    found = profile(tmp_path / "found")
    found.folder.chmod(0o755)
    for ours in (made, found):
        ours.save(STATE)
        assert stat.S_IMODE(ours.folder.stat().st_mode) == 0o700


def test_what_a_killed_write_left_goes_at_discovery_but_not_from_under_another_process(tmp_path: Path) -> None:
    folder = tmp_path / "demo" / "ann"
    folder.mkdir(parents=True)
    left = [folder / ".state.json.abcd_012.tmp", folder / ".account.toml.abcd_012.tmp"]
    kept = [folder / name for name in (".state.json.mine.tmp", ".state.json.abcd_012", "state.json.abcd_012.tmp")]
    for path in left + kept:
        path.write_text("{")
    with Profile("demo", "ann", folder).lock():
        assert len(list(discover(tmp_path, {"demo"}))) == 1
        assert all(path.exists() for path in left)
    assert len(list(discover(tmp_path, {"demo"}))) == 1
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)


def test_a_write_that_fails_leaves_the_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = profile(tmp_path)
    ours.save(STATE)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        ours.save({"cookies": [], "origins": []})
    assert ours.load() == STATE
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


@settings(deadline=None)
@given(st.text(st.characters(), max_size=30))
@example("\ud800")
@example("\\\udfff\x00\u2028")
def test_any_text_a_page_may_store_is_saved_and_comes_back(
    tmp_path_factory: pytest.TempPathFactory, value: str
) -> None:
    ours = profile(tmp_path_factory.mktemp("state"))
    state = {"cookies": [], "origins": [{"localStorage": [{"name": value, "value": value}]}]}
    ours.save(state)
    found = ours.load()
    assert json.dumps(found) == json.dumps(state), "the same to JavaScript: a pair of halves is one character"


@pytest.mark.parametrize("content", ["[" * 500_000, '{"cookies":' * 100_000, '{"cookies": ' + "9" * 1_000_000 + "}"])
def test_a_hostile_state_is_an_error_and_stays(tmp_path: Path, content: str) -> None:
    ours = profile(tmp_path)
    ours.state_file.write_text(content)
    with pytest.raises(BadRequest, match=r"state\.json is damaged"):
        ours.load()
    assert ours.state_file.read_text() == content


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    ours = profile(tmp_path)
    os.mkfifo(ours.state_file)
    with pytest.raises(BadRequest, match=r"state\.json is not a file"):
        ours.load()
