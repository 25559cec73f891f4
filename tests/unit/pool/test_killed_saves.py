"""Saves that are killed: the file always loads, as it was or as it was to be, and nothing piles up.

A process that has everything imported forks the savers, so that hundreds of them take seconds.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.pool.profiles import Profile, discover
from relay.pool.sealing import Keyring
from relay.private import TEMPORARY

NURSERY = """
import os, signal, sys
from pathlib import Path
import relay.pool.locks, relay.pool.profiles as profiles, relay.pool.sealing as sealing, relay.private as private
import tempfile

WATCHED = {profiles.__file__, private.__file__, sealing.__file__, tempfile.__file__}
keys = sealing.Keyring(["key"])
keys.seal(b"")  # derives a key once, for all that are forked

def state(number, size):
    return {"cookies": [{"name": "n", "value": number}], "origins": [str(number % 10) * size]}

def on_and_on(profile):  # not for ever, should nobody kill it
    for number in range(1, 10_000):
        profile.save(state(number, 200_000))
        if number == 1:
            os.write(1, b"saving\\n")

def up_to(profile, line):
    left = line
    def trace(frame, event, argument):
        nonlocal left
        if frame.f_code.co_filename not in WATCHED:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace
    sys.settrace(trace)
    profile.save(state(2, 2000))
    sys.settrace(None)

for order in sys.stdin:
    folder, sealed, line = order.split()
    profile = profiles.Profile("demo", "ann", Path(folder), keys if sealed == "sealed" else None)
    profile.load()  # the same for a file with another salt
    child = os.fork()
    if child == 0:
        try:
            os.write(1, b"%d\\n" % os.getpid())
            up_to(profile, int(line)) if int(line) else on_and_on(profile)
        finally:
            os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Nursery:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def order(self, profile: Profile, line: int = 0) -> int:
        """Fork a saver: one that goes on and on, or one that dies before it executes its `line`-th line. Its pid."""
        print(profile.folder, "sealed" if profile.keys else "plain", line, file=self.process.stdin, flush=True)
        return int(self.read())

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", NURSERY], stdin=pipe, stdout=pipe, text=True) as process:
        yield Nursery(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait() == 0


@pytest.fixture(params=["plain", "sealed"])
def profile(request: pytest.FixtureRequest, tmp_path: Path) -> Profile:
    folder = tmp_path / "demo" / "ann"
    return Profile("demo", "ann", folder, Keyring(["key"]) if request.param == "sealed" else None)


def state(number: int, size: int) -> dict[str, Any]:
    return {"cookies": [{"name": "n", "value": number}], "origins": [str(number % 10) * size]}


def leftovers(profile: Profile) -> list[str]:
    return [path.name for path in profile.folder.iterdir() if TEMPORARY.fullmatch(path.name)]


def test_killed_before_any_line_of_a_save(nursery: Nursery, profile: Profile) -> None:
    profile.save(state(1, 2000))
    seen, left, line = set(), 0, 0
    while True:
        line += 1
        nursery.order(profile, line)
        status = int(nursery.read())
        found = profile.load()
        assert found in (state(1, 2000), state(2, 2000)), f"before line {line}"
        assert found is not None
        seen.add(found["cookies"][0]["value"])
        assert len(leftovers(profile)) <= 1, f"before line {line}"
        left += len(leftovers(profile))
        if status == 0:
            break
        assert status == -9
        if found == state(2, 2000):
            profile.save(state(1, 2000))
    assert seen == {1, 2}
    assert line > 30, "the save was followed line by line"
    assert left > 0, "some were killed in mid-write"
    profile.save(state(3, 10))
    assert leftovers(profile) == []


def test_killed_before_any_line_of_the_first_encryption(nursery: Nursery, tmp_path: Path) -> None:
    plain = Profile("demo", "ann", tmp_path / "demo" / "ann")
    sealed = Profile("demo", "ann", plain.folder, Keyring(["key"]))
    both, line, status = 0, 0, -9
    while status != 0:
        line += 1
        sealed.sealed_file.unlink(missing_ok=True)
        plain.save(state(1, 2000))
        nursery.order(sealed, line)
        status = int(nursery.read())
        if sealed.sealed_file.exists():
            assert sealed.load() == state(2, 2000)
            both += plain.state_file.exists()
        else:
            assert plain.load() == state(1, 2000), "the plain file goes only when the other is there"
    assert both > 0
    assert not plain.state_file.exists()


def test_killed_at_random_moments(nursery: Nursery, profile: Profile) -> None:
    profile.save(state(0, 200_000))
    seed = random.randrange(2**32)
    chance, last = random.Random(seed), 0
    for _ in range(60):
        child = nursery.order(profile)
        try:
            assert nursery.read() == "saving\n"
            time.sleep(chance.uniform(0, 0.03))  # any moment will do
        finally:
            os.kill(child, signal.SIGKILL)
        assert int(nursery.read()) == -9
        found = profile.load()
        assert found is not None
        last = found["cookies"][0]["value"]
        assert found == state(last, 200_000), f"seed {seed}"
        assert len(leftovers(profile)) <= 1, f"seed {seed}"
    assert last > 0
    list(discover(profile.folder.parent.parent, {"demo"}))
    assert leftovers(profile) == []
