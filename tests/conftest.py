"""What the tests of several folders share."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import npm
from tests.replicas import Replicas

ROOT = Path(__file__).parent.parent
NODE = ROOT / "tests" / "node"


# A shell starts its background jobs with SIGINT ignored, and every process below inherits that: tests that send it to
# theirs would wait in vain. Whatever handler is set here, a new program begins with the default one.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test asserts a time: a busy machine is no failure.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


MAX_ID_CHARS = 60


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """A long text tells nothing as a name, and a made one (a token, a salt) is another in each worker."""
    return argname if isinstance(val, str | bytes) and len(val) > MAX_ID_CHARS else None


TOGETHER = ("browser", "clients", "remote", "sites/gradio")
"""Folders whose tests share running programs, which end with the last of them."""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Whose tests run one after the other, in one worker (`--dist loadgroup`): a file's, unless it says otherwise.

    Each worker that started the same servers and browsers once more would slow all the others down. A wrapper, since
    xdist reads the groups first of all.
    """
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            path = item.path.relative_to(ROOT / "tests").as_posix()
            folders = [folder for folder in TOGETHER if path.startswith(f"{folder}/")]
            item.add_marker(pytest.mark.xdist_group(folders[0] if folders else path))
    yield
    if items and getattr(config.option, "loadgroup", False) and "@" not in items[0].nodeid:
        raise pytest.UsageError("pytest-xdist does not see the groups: everything would be started in every worker")


@pytest.fixture(scope="session")
def replicas() -> Iterator[Replicas]:
    """One running replica process; tests keep apart by using accounts of their own."""
    with Replicas() as running:
        yield running


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """`node_modules` with the locked packages, installed once per lock file."""
    return npm.node_modules(NODE)
