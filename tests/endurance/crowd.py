"""Many callers at once: dialogues from one plan, asked turn by turn, judged as they come."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from scripts.benchmarks.figures import quantile
from tests.endurance.caller import Caller
from tests.endurance.dialogues import Asked, Dialogue, fault_of

Told = Callable[[str], None]
SAY_EVERY_S = 10.0
FAULTS_KEPT = 20


@dataclass
class Tally:
    """What became of a crowd's requests."""

    endings: Counter[str] = field(default_factory=Counter)
    by_site: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(site, ending or error code)."""
    faults: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    """The first errors of each code, in full."""
    asked: list[Asked] = field(default_factory=list)
    answers_s: dict[str, list[float]] = field(default_factory=dict)
    """By site."""
    longest_s: float = 0.0

    @property
    def total(self) -> int:
        """Requests that ended."""
        return self.endings.total()

    def add(self, asked: Asked) -> None:
        """One more. What it said is dropped once it is judged."""
        outcome, site = asked.outcome, asked.dialogue.site
        ending, named = outcome.ending, outcome.code or outcome.ending
        self.endings[ending] += 1
        self.by_site[site, named] += 1
        self.longest_s = max(self.longest_s, outcome.took_s)
        if ending == "answer":
            self.answers_s.setdefault(site, []).append(outcome.took_s)
        elif ending == "error" and self.by_site[site, named] <= 2:
            self.errors.append(outcome.evidence())
        if fault := fault_of(asked):
            self.faults.append(f"caller {asked.dialogue.caller}: {fault}; {outcome.evidence()}")
        outcome.text = outcome.reasoning = outcome.rest = ""
        self.asked.append(asked)

    def codes(self) -> str:
        """Error codes and how often."""
        found: Counter[str] = Counter()
        for (_, named), count in self.by_site.items():
            if named not in ("answer", "left", "broken"):
                found[named] += count
        return ", ".join(f"{code} {count}" for code, count in found.most_common()) or "none"

    def line(self) -> str:
        """For progress."""
        medians = ", ".join(f"{site} {quantile(took, 0.5):.1f} s" for site, took in self.answers_s.items())
        return (
            f"{self.total} requests: {self.endings['answer']} answers (medians: {medians}), errors: {self.codes()}, "
            f"{self.endings['left']} left, {len(self.faults)} faults"
        )


class Crowd:
    """Asks a server. `leave_share` of the requests are left by their client, at a random moment in `leave_within_s`."""

    def __init__(
        self,
        url: str,
        keys: Sequence[str],
        *,
        deadline_s: float,
        told: Told,
        leave_share: float = 0.0,
        leave_within_s: float = 3.0,
        seed: int = 0,
    ) -> None:
        self.tally = Tally()
        self._url, self._keys, self._deadline_s, self._told = url, keys, deadline_s, told
        self._leave_share, self._leave_within_s = leave_share, leave_within_s
        self._dice = random.Random(seed)
        self._said_s = time.monotonic()
        self._stopped = False

    def stop(self) -> None:
        """No more requests; `run` returns once those under way have ended."""
        self._stopped = True

    async def run(self, dialogues: Iterator[Dialogue], *, width: int, requests: int | None = None) -> Tally:
        """Ask, `width` dialogues at a time, until there are none, `requests` are reached, or `stop`."""
        async with AsyncExitStack() as stack:
            callers = [
                await stack.enter_async_context(Caller(self._url, key, deadline_s=self._deadline_s))
                for key in self._keys
            ]
            await asyncio.gather(*(self._work(dialogues, callers, requests) for _ in range(width)))
        return self.tally

    async def _work(self, dialogues: Iterator[Dialogue], callers: Sequence[Caller], requests: int | None) -> None:
        while not self._stopped and (requests is None or self.tally.total < requests):
            dialogue = next(dialogues, None)
            if dialogue is None:
                return
            await self._talk(dialogue, callers[dialogue.caller])

    async def _talk(self, dialogue: Dialogue, caller: Caller) -> None:
        """One dialogue; it ends early where a turn has no answer."""
        history: list[dict[str, Any]] = []
        extra = {"enable_thinking": True} if dialogue.thinking else {}
        for number, said in enumerate(dialogue.turns):
            history.append({"role": "user", "content": said.content()})
            leaves = self._dice.random() < self._leave_share
            leave_s = self._dice.uniform(0.01, self._leave_within_s) if leaves else None
            outcome = await caller.ask(
                dialogue.model, history, stream=dialogue.stream or leaves, leave_s=leave_s, **extra
            )
            history.append({"role": "assistant", "content": outcome.text})
            self.tally.add(Asked(dialogue, number, outcome))
            self._say()
            if outcome.ending != "answer" or self._stopped:
                return

    def _say(self) -> None:
        if time.monotonic() - self._said_s >= SAY_EVERY_S:
            self._said_s = time.monotonic()
            self._told(self.tally.line())
