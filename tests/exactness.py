"""Whether answers arrive exactly: shared by `scripts/exact` and by the tests.

Answers are Markdown made from a printed seed (`tests.corpus`), 1 byte to 1 MB; the site's bytes are cut at random;
half of the answers are asked for as a stream. What a driver reads must equal what the site sent; for `dom`, which reads
the rendered page, in the corpus' canonical form and without the constructs that are excepted by name.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import openai

from tests.corpus import CONSTRUCTS, answer, canonical
from tests.e2e.client import ask
from tests.e2e.relay_server import RelayServer
from tests.e2e.stages import sent_by
from tests.e2e.world import World, server_of

LARGEST_BYTES = 1_000_000
AT_LARGEST = 3
"""How many answers of a pair have the largest size."""

EXCEPTED: dict[tuple[str, str], dict[str, str]] = {
    ("demo", "dom"): {"images": "the page shows foreign images as links"},
    ("kimi", "dom"): {
        "cell_breaks": "the page shows HTML as text, `<br>` in a table too",
        "dollars": "the page drops the spaces around a formula in a line with a lone `$`",
    },
    ("deepseek", "dom"): {"cell_breaks": "the page shows HTML as text, `<br>` in a table too"},
    ("chatgpt", "dom"): {
        "cell_breaks": "the page shows HTML as text, `<br>` in a table too",
        "dollars": "the page takes what stands after a lone `$` for a formula",
    },
    ("claude", "dom"): {"cell_breaks": "the page shows HTML as text, `<br>` in a table too"},
    ("gradio", "dom"): {
        "soft_breaks": "the page breaks the line at each line end",
        "inline_math": "the page typesets `$$` only",
        "code_ticks": "the page's Markdown loses emphasis in a line after a code span that contains a backtick",
        "angles": "the page's Markdown loses emphasis between `<` and `>` of a line",
    },
}
"""By pair: the constructs that are left out of its answers, and why."""

ALTERED: dict[tuple[str, str], str] = {
    ("gradio", driver): "compared with what Gradio makes of a message before it sends it: its Chatbot passes texts "
    "through `inspect.cleandoc` (tabs become spaces; outer blank lines and common indentation go)"
    for driver in ("screen", "dom")
}
AT_ONCE = {"demo": 3, "gradio": 2, "kimi": 1}
"""Answers asked for at once. Kimi's replica has one scenario per user, so there one after the other."""
ALONE_BYTES = 200_000
"""Answers of at least this size are asked for one by one: a page needs a processor to draw them."""


@dataclass(frozen=True, slots=True)
class Case:
    """One answer."""

    seed: str
    size_bytes: int
    stream: bool
    text: str


@dataclass
class Outcome:
    """How a pair did."""

    site: str
    driver: str
    exact: int = 0
    total_bytes: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Answers asked for."""
        return self.exact + len(self.failures)


def cases(
    site: str,
    driver: str,
    seed: int,
    count: int,
    *,
    largest_bytes: int = LARGEST_BYTES,
    at_largest: int = AT_LARGEST,
) -> list[Case]:
    """The answers of a pair: sizes log-uniform from 1 byte, a few of the largest; every second one streamed."""
    dice = random.Random(f"{seed} {site} {driver}")
    constructs = tuple(name for name in CONSTRUCTS if name not in EXCEPTED.get((site, driver), ()))
    sizes = [largest_bytes] * min(at_largest, count)
    sizes += [round(largest_bytes ** dice.random()) for _ in range(count - len(sizes))]
    dice.shuffle(sizes)
    made = []
    for number, size in enumerate(sizes):
        name = f"{seed}/{site}/{driver}/{number}"
        made.append(Case(name, size, number % 2 == 0, answer(name, size, constructs)))
    return made


async def run(
    world: World,
    site: str,
    driver: str,
    wanted: Sequence[Case],
    told: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Ask for every case; failures are told as they happen, with what repeats them."""
    relay = world.serve(server_of(site, driver))
    outcome = Outcome(site, driver)
    room = asyncio.Semaphore(AT_ONCE[site])

    async def one(case: Case) -> None:
        async with room:
            fault = await _fault(world, relay, site, driver, case)
        outcome.total_bytes += case.size_bytes
        if fault:
            outcome.failures.append(f"{case.seed} ({case.size_bytes} bytes, stream={case.stream}): {fault}")
            told(outcome.failures[-1])
        else:
            outcome.exact += 1

    async with asyncio.TaskGroup() as group:
        for case in wanted:
            if case.size_bytes < ALONE_BYTES:
                group.create_task(one(case))
    for case in wanted:
        if case.size_bytes >= ALONE_BYTES:
            await one(case)
    return outcome


async def _fault(world: World, relay: RelayServer, site: str, driver: str, case: Case) -> str:
    """What is wrong with a case's answer; empty if nothing."""
    stage = world.stage(site, relay)
    prompt = await stage.play(case.text, seed=random.Random(case.seed).randrange(2**32))
    try:
        got = await ask(relay, stage.model, prompt, stream=case.stream)
    except openai.APIError as error:
        return f"{error.code}: {error.message}"
    expected, found = sent_by(site, driver, case.text), got.text
    if driver == "dom":
        expected, found = canonical(expected), canonical(found)
    if got.finish != "stop":
        return f"finish_reason {got.finish}"
    return "" if found == expected else difference(expected, found)


def difference(expected: str, found: str) -> str:
    """Where two texts part."""
    at = next(
        (place for place, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b),
        min(len(expected), len(found)),
    )
    start = max(0, at - 40)
    return f"at character {at}: {expected[start : at + 40]!r} came as {found[start : at + 40]!r}"
