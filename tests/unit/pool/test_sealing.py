"""State at rest under a passphrase: what opens, what does not, and that nothing is overwritten that does not open."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from relay.errors import BadRequest
from relay.pool.profiles import Profile
from relay.pool.sealing import MAGIC, Keyring
from relay.settings import Settings

STATE = {"cookies": [{"name": "session", "value": "秘密-cookie-value"}], "origins": []}
OTHER = {"cookies": [{"name": "session", "value": "renewed"}], "origins": []}
HEAD_BYTES = len(MAGIC) + 1 + 16 + 16 + 12


def profile(folder: Path, *passphrases: str) -> Profile:
    return Profile("demo", "ann", folder, Keyring(passphrases) if passphrases else None)


def test_a_state_saved_with_a_key_comes_back_and_cannot_be_read_without(tmp_path: Path) -> None:
    ours = profile(tmp_path, "correct horse")
    ours.save(STATE)
    assert profile(tmp_path, "correct horse").load() == STATE
    content = ours.sealed_file.read_bytes()
    assert b"cookie" not in content
    assert b"horse" not in content
    assert stat.S_IMODE(ours.sealed_file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["state.json.enc"]


def test_a_key_set_later_encrypts_at_the_next_save(tmp_path: Path) -> None:
    profile(tmp_path).save(STATE)
    ours = profile(tmp_path, "new key")
    assert ours.load() == STATE
    assert ours.state_file.exists()
    ours.save(OTHER)
    assert not ours.state_file.exists()
    assert ours.load() == OTHER


def test_rotation_any_key_opens_and_the_first_seals(tmp_path: Path) -> None:
    profile(tmp_path, "old").save(STATE)
    both = profile(tmp_path, "new", "old")
    assert both.load() == STATE
    assert profile(tmp_path, "old").load() == STATE, "loading alone changes no key"
    both.save(OTHER)
    assert profile(tmp_path, "new").load() == OTHER
    with pytest.raises(BadRequest, match="RELAY_PROFILE_KEY is wrong"):
        profile(tmp_path, "old").load()


@pytest.mark.parametrize(
    ("passphrases", "says"), [((), "set RELAY_PROFILE_KEY"), (("wrong", "also wrong"), "RELAY_PROFILE_KEY is wrong")]
)
def test_without_the_key_neither_loading_nor_saving_touches_the_file(
    tmp_path: Path, passphrases: tuple[str, ...], says: str
) -> None:
    profile(tmp_path, "right").save(STATE)
    theirs = profile(tmp_path, *passphrases)
    before = theirs.sealed_file.read_bytes()
    for use in (theirs.load, lambda: theirs.save(OTHER)):
        with pytest.raises(BadRequest, match=rf"state\.json\.enc is encrypted.*{says}"):
            use()
    assert theirs.sealed_file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["state.json.enc"]
    assert profile(tmp_path, "right").load() == STATE


def test_a_changed_byte_anywhere_is_noticed(tmp_path: Path) -> None:
    ours = profile(tmp_path, "key")
    ours.save(STATE)
    good = ours.sealed_file.read_bytes()
    salt_end = len(MAGIC) + 17
    for place in [0, len(MAGIC), salt_end, HEAD_BYTES - 1, HEAD_BYTES, len(good) // 2 + 20, len(good) - 1]:
        bad = bytearray(good)
        bad[place] ^= 1
        ours.sealed_file.write_bytes(bad)
        with pytest.raises(BadRequest, match=r"state\.json\.enc"):
            ours.load()
        assert ours.sealed_file.read_bytes() == bad


def test_a_cut_file_is_damaged_at_every_length(tmp_path: Path) -> None:
    ours = profile(tmp_path, "key")
    ours.save(STATE)
    good = ours.sealed_file.read_bytes()
    for length in range(len(good)):
        ours.sealed_file.write_bytes(good[:length])
        with pytest.raises(BadRequest, match="damaged"):
            ours.load()
    ours.sealed_file.write_bytes(good + b"\n")
    with pytest.raises(BadRequest, match="damaged"):
        ours.load()


@pytest.mark.parametrize("content", [b"", b"{}", json.dumps(STATE).encode(), os.urandom(4096)])
def test_what_was_never_sealed_is_neither_loaded_nor_replaced(tmp_path: Path, content: bytes) -> None:
    ours = profile(tmp_path, "key")
    ours.sealed_file.write_bytes(content)
    for use in (ours.load, lambda: ours.save(STATE)):
        with pytest.raises(BadRequest, match="not an encrypted state"):
            use()
    assert ours.sealed_file.read_bytes() == content


def test_a_later_form_is_neither_loaded_nor_replaced(tmp_path: Path) -> None:
    ours = profile(tmp_path, "key")
    ours.sealed_file.write_bytes(MAGIC + b"\x02" + os.urandom(200))
    for use in (ours.load, lambda: ours.save(STATE)):
        with pytest.raises(BadRequest, match="Update relay"):
            use()


def test_sealed_nonsense_is_said_to_be_damaged(tmp_path: Path) -> None:
    ours = profile(tmp_path, "key")
    assert ours.keys is not None
    ours.sealed_file.write_bytes(ours.keys.seal(b"[" * 100_000))
    with pytest.raises(BadRequest, match=r"state\.json\.enc is damaged"):
        ours.load()


def test_a_key_is_derived_once_for_a_file_and_every_save_has_a_nonce_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cryptography.hazmat.primitives.kdf import scrypt

    salts: list[bytes] = []

    real = scrypt.Scrypt

    def counted(*, salt: bytes, length: int, n: int, r: int, p: int) -> scrypt.Scrypt:
        salts.append(salt)
        assert (n, r, p) == (2**15, 8, 1)
        return real(salt=salt, length=length, n=n, r=r, p=p)

    monkeypatch.setattr(scrypt, "Scrypt", counted)
    ours, content = profile(tmp_path, "key"), set()
    for _ in range(5):
        ours.save(STATE)
        assert ours.load() == STATE
        content.add(ours.sealed_file.read_bytes())
    assert len(salts) == 1
    assert len({sealed[HEAD_BYTES - 12 : HEAD_BYTES] for sealed in content}) == 5
    Profile("demo", "bob", tmp_path / "bob", ours.keys).save(STATE)
    assert len(salts) == 1, "accounts of one keyring share the salt"
    profile(tmp_path / "another", "key").save(STATE)
    assert len(set(salts)) == 2, "it is random otherwise"


def test_the_stamp_follows_the_file_in_use(tmp_path: Path) -> None:
    ours = profile(tmp_path, "key")
    assert ours.stamp() == 0
    profile(tmp_path).save(STATE)
    os.utime(ours.state_file, ns=(1, 1))
    assert ours.stamp() == 1
    ours.save(STATE)
    os.utime(ours.sealed_file, ns=(2, 2))
    assert ours.stamp() == 2
    ours.state_file.write_text(json.dumps(OTHER))
    assert ours.stamp() == 2


def test_a_plain_login_laid_beside_an_encrypted_one_is_not_used_and_not_lost(tmp_path: Path) -> None:
    ours = profile(tmp_path, "key")
    ours.save(STATE)
    while not ours.state_file.exists() or ours.state_file.stat().st_ctime_ns == ours.sealed_file.stat().st_ctime_ns:
        ours.state_file.write_text(json.dumps(OTHER))  # again if the file system's clock has not moved
    os.utime(ours.state_file, ns=(1, 1))  # as `mv` or `cp -p` may leave it
    assert ours.load() == STATE
    ours.save(STATE)
    assert json.loads(ours.state_file.read_text()) == OTHER
    ours.sealed_file.unlink()
    assert ours.load() == OTHER


def test_a_plain_state_that_outlived_its_encryption_goes_with_the_next_save(tmp_path: Path) -> None:
    """As after a kill between the two: the encrypted file is there, the plain one not yet removed."""
    ours = profile(tmp_path, "key")
    ours.state_file.write_text(json.dumps(STATE))
    assert ours.keys is not None
    ours.sealed_file.write_bytes(ours.keys.seal(json.dumps(OTHER).encode()))
    assert ours.load() == OTHER
    ours.save(OTHER)
    assert not ours.state_file.exists()


def test_the_setting_takes_several(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RELAY_HOME", str(tmp_path))
    monkeypatch.delenv("RELAY_PROFILE_KEY", raising=False)
    assert Keyring.of(Settings().profile_key) is None
    monkeypatch.setenv("RELAY_PROFILE_KEY", "new one, old one")
    settings = Settings()
    assert [key.get_secret_value() for key in settings.profile_key] == ["new one", "old one"]
    assert "one" not in repr(settings.profile_key) + repr(Keyring.of(settings.profile_key))


def test_a_passphrase_of_any_bytes() -> None:
    keys = Keyring.of([SecretStr(""), SecretStr(os.fsdecode(b"\xff\xfe")), SecretStr("schlüssel")])
    assert keys is not None
    assert keys.open(keys.seal(b"x"), Path("a")) == b"x"
    assert repr(keys) == "<Keyring of 2>"
