"""A server for each site and driver in turn; what each case came to is told to `scripts/sites`."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.e2e.world import World
from tests.replicas import Replicas, Scenario
from tests.sites.facts import CHOSEN, PAIRS
from tests.sites.stage import Stage, opened

SHORT = {
    "RELAY_CLOCKS__FIRST_BYTE_S": "16",
    "RELAY_CLOCKS__IDLE_S": "3",
    "RELAY_KEEP_CONVERSATIONS_S": "0",
    "RELAY_KEEPER__DELETE_GAP_S": "0.1",
}
"""Of the hasty server: silence is soon an error, and conversations are deleted at once. The first byte may take longer
than a page takes to renew a refused login (`drivers.RESEND_S`)."""


class Cell:
    """What a case came to at a site by a driver, where it is not simply passed or failed."""

    def __init__(self) -> None:
        self.result = "passed"

    def __repr__(self) -> str:
        return f"<Cell {self.result}>"

    def declared(self) -> None:
        """The site declares that it cannot do it, and relay refused it clearly."""
        self.result = "refused"

    def absent(self) -> None:
        """There is no such thing at the site that could be tried."""
        self.result = "absent"


def _group(site: str, driver: str = "in order") -> pytest.MarkDecorator:
    """Cases that share a server run in one worker, and all of Gradio's: its apps take long to start."""
    return pytest.mark.xdist_group("sites-gradio" if site == "gradio" else f"sites-{site}-{driver}")


HERE = Path(__file__).parent


QUICK = ("demo", "fetch")
LOGGED = 8000
"""Characters of a server's log that stand beneath a failure."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All but those of `QUICK`, which are always run, are a run of their own: `scripts/sites`."""
    for item in items:
        if item.path.parent != HERE:
            continue
        chosen = item.callspec.params if isinstance(item, pytest.Function) else {}
        if chosen.get("pair") != QUICK:
            item.add_marker(pytest.mark.contract)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure is told with the end of the server's log."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        stages = {id(one): one for one in item.funcargs.values() if isinstance(one, Stage)}
        for stage in stages.values():
            report.sections.append((f"the log of {stage!r}", stage.relay.log[-LOGGED:]))
    return report


@pytest.fixture(scope="session")
def world(replicas: Replicas) -> Iterator[World]:
    """Sites, replicas and servers."""
    with World(replicas) as made:
        yield made


@pytest.fixture(
    scope="session",
    params=[pytest.param(pair, id="-".join(pair), marks=_group(*pair)) for pair in PAIRS],
)
def pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A site and the only driver that may answer. Of the session, so that pytest runs all cases of a pair in a row."""
    pair: tuple[str, str] = request.param
    return pair


@pytest.fixture(scope="session")
def served(world: World, pair: tuple[str, str]) -> Iterator[Stage]:
    """The pair's server."""
    with opened(world, *pair) as stage:
        yield stage


@pytest.fixture(scope="session")
def served_hastily(world: World, pair: tuple[str, str]) -> Iterator[Stage]:
    """The pair's other server, with short clocks."""
    own = {
        f"RELAY_SITES__{pair[0].upper().replace('-', '_')}__CLOCKS__IDLE_S": "3"
    }  # where the site has clocks of its own
    with opened(world, *pair, {**SHORT, **own}) as stage:
        yield stage


@pytest.fixture(scope="session", params=[pytest.param(site, marks=_group(site)) for site in CHOSEN])
def served_in_order(world: World, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A site's server with the site's own order of drivers."""
    with opened(world, request.param, "") as stage:
        yield stage


async def _mended(stage: Stage) -> Stage:
    """In service, whatever a case that failed has left behind."""
    await stage.play(Scenario())
    if stage.status()["state"] not in ("ready", "busy"):
        stage.renew()
    return stage


@pytest.fixture
async def stage(served: Stage) -> Stage:
    """The pair's server, ready for a chat."""
    return await _mended(served)


@pytest.fixture
async def hasty(served_hastily: Stage) -> Stage:
    """The pair's hasty server, ready for a chat."""
    return await _mended(served_hastily)


@pytest.fixture(scope="session")
def served_anew(world: World, pair: tuple[str, str]) -> Iterator[Stage]:
    """The pair's server, where each chat opens a page of its own."""
    with opened(world, *pair, {"RELAY_KEEPER__PAGE_USES": "1"}) as stage:
        yield stage


@pytest.fixture
async def anew(served_anew: Stage) -> Stage:
    """The pair's server with a new page for each chat, ready for a chat."""
    return await _mended(served_anew)


@pytest.fixture
async def failing(request: pytest.FixtureRequest, pair: tuple[str, str]) -> Stage:
    """For faults: a page that shows nothing of them leaves `dom` to the clocks, which are short then."""
    stage: Stage = request.getfixturevalue("served_hastily" if pair[1] == "dom" else "served")
    return await _mended(stage)


@pytest.fixture
async def in_order(served_in_order: Stage) -> Stage:
    """The site's server with all its drivers, ready for a chat."""
    return await _mended(served_in_order)


@pytest.fixture
def cell(request: pytest.FixtureRequest) -> Iterator[Cell]:
    """Where a case says that it is not simply passed; the reports carry it to `tests/sites/table.py`."""
    made = Cell()
    yield made
    request.node.user_properties.append(("result", made.result))


@pytest.fixture(autouse=True)
def _named(request: pytest.FixtureRequest) -> None:
    """Each report tells site, driver and case."""
    chosen = dict(request.node.callspec.params) if hasattr(request.node, "callspec") else {}
    site, driver = chosen.pop("pair", (chosen.pop("served_in_order", ""), "in order"))
    words = request.node.originalname.removeprefix("test_").replace("_", " ")
    case = ": ".join([words, *(str(value) for value in chosen.values())])
    request.node.user_properties += [("site", site), ("driver", driver), ("case", case)]
