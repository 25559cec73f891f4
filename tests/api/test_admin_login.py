"""Sessions, the limit on guesses, and the password file: without a server."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from relay.api import admin_login
from relay.api.admin_login import ABSOLUTE_S, AdminLogin, LoginLimit, PasswordFile, Sessions
from relay.errors import BadRequest, RateLimited, WrongPassword
from relay.settings import Settings
from tests.api.test_keys import Clock


def test_sessions_end_however_busy_and_are_bounded() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    token = sessions.begin()
    while clock.now_s < 1000 + ABSOLUTE_S:
        assert sessions.touch(token)
        clock.now_s += 1000
    assert not sessions.touch(token)
    tokens = [sessions.begin() for _ in range(admin_login.MAX_SESSIONS + 1)]
    assert [sessions.touch(token) for token in (tokens[0], tokens[1], tokens[-1])] == [False, True, True]


def test_guesses_from_everywhere() -> None:
    clock = Clock()
    limit = LoginLimit(clock)
    for number in range(20):
        limit.attempt(f"10.0.0.{number}")
    with pytest.raises(RateLimited) as caught:
        limit.attempt("10.0.1.1")
    assert caught.value.retry_after_s == 1
    waits = []
    for number in range(10):
        try:
            limit.attempt(f"10.0.2.{number}")
        except RateLimited as error:
            assert error.retry_after_s is not None
            waits.append(error.retry_after_s)
            clock.now_s += error.retry_after_s
            limit.attempt(f"10.0.2.{number}")
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30, 30, 30], "exponential, and never so long that the owner is shut out"
    clock.now_s += 3600
    for _ in range(5):
        limit.attempt("10.0.3.1")


def test_a_network_is_one_guesser() -> None:
    limit = LoginLimit(Clock())
    for number in range(5):
        limit.attempt(f"2001:db8:1:2::{number}")
    with pytest.raises(RateLimited):
        limit.attempt("2001:db8:1:2:ffff::9")
    limit.attempt("2001:db8:1:3::1")
    for address in ("", "not an address", "::ffff:10.0.0.1"):
        limit.attempt(address)


def test_the_memory_of_guessers_is_bounded() -> None:
    clock = Clock()
    limit = LoginLimit(clock)
    for number in range(6000):
        clock.now_s += 31
        limit.attempt(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert repr(limit) == "<LoginLimit 4096 addresses, 6000 failures>"


async def test_a_password_that_was_made(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, home=tmp_path)
    login = AdminLogin(settings, Clock())
    with pytest.raises(WrongPassword):
        await login.enter("", "a")  # there is none yet
    with pytest.raises(WrongPassword):
        await login.enter("guess", "a")
    password = PasswordFile(tmp_path).make()
    assert password is not None and len(password) == 24
    assert PasswordFile(tmp_path).make() is None, "once"
    file = tmp_path / "admin.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["password_hash"].startswith("$argon2id$")
    token = await login.enter(password, "b")
    assert login.sessions.touch(token)
    # another password ends what the old one began
    file.unlink()
    other = PasswordFile(tmp_path).make()
    assert other is not None and other != password
    assert not login.sessions.touch(token)
    with pytest.raises(WrongPassword):
        await login.enter(password, "c")
    token = await login.enter(other, "d")
    # and a damaged file lets nobody in
    file.write_text("{}")
    assert not login.sessions.touch(token)
    with pytest.raises(WrongPassword):
        await login.enter(other, "e")


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", '{"password_hash": ""}', '{"password_hash": "$2b$12$abc"}', '{"password_hash": 1}', "x" * 5000],
)
def test_a_damaged_file_is_said_and_kept(tmp_path: Path, content: str) -> None:
    (tmp_path / "admin.json").write_text(content)
    with pytest.raises(BadRequest, match=r"admin\.json"):
        PasswordFile(tmp_path).make()
    assert (tmp_path / "admin.json").read_text() == content
