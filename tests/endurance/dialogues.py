"""Chats whose every turn and file carries a mark of its own, and what the marks tell. Pure: no clock, no network.

A dialogue is some turns of one caller. Turn n sends the history as the caller knows it, answers included; the site
repeats all that it was given, so an answer must hold the marks of turns 1 to n, and no mark of anybody else.

Twins are two dialogues of different callers whose first turns are the same, word by word: whoever finds a conversation
by its history alone gives the second caller the first one's.
"""

from __future__ import annotations

import base64
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.endurance.caller import Outcome

MARK = re.compile(r"mk[0-9a-f]{12}")
FILE_MARK = re.compile(r"fk[0-9a-f]{12}")
LONGEST = 4
TWIN_SHARE = 0.1
THINKING_SHARE = 0.2
FILE_SHARE = 0.3
"""Of the demo site's dialogues: with three sites, a tenth of all."""
WORDS = ("keep", "this", "in", "mind", "天空", "is", "blue", "短波", "scatter", "more", "🌌", "naïve", "façade")
MODELS = {"demo": "demo/echo", "kimi": "kimi", "gradio": "gradio"}


@dataclass(frozen=True, slots=True)
class Said:
    """One turn of the caller: its text begins with its mark; `file` is the mark of an attached file, or empty."""

    mark: str
    text: str
    file: str = ""

    def content(self) -> Any:
        """As an OpenAI message's content."""
        if not self.file:
            return self.text
        data = base64.b64encode(f"{self.file} is the first line\n".encode()).decode()
        file = {"filename": f"{self.file}.txt", "file_data": f"data:text/plain;base64,{data}"}
        return [{"type": "file", "file": file}, {"type": "text", "text": self.text}]


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One caller's chat of one to four turns."""

    number: int
    caller: int
    site: str
    turns: tuple[Said, ...]
    stream: bool
    thinking: bool = False

    @property
    def model(self) -> str:
        """The name that clients use."""
        return MODELS[self.site]

    def owned(self) -> set[str]:
        """Every mark that its caller may see."""
        return {mark for turn in self.turns for mark in (turn.mark, turn.file) if mark}

    def wanted(self, turn: int) -> set[str]:
        """The marks that the answer to a turn (from 0) must hold. A file may be repeated later, but need not be."""
        due = {said.mark for said in self.turns[: turn + 1]}
        return due | ({self.turns[turn].file} - {""})


def planned(seed: int, callers: int, sites: Sequence[str]) -> Iterator[Dialogue]:
    """Dialogues without end; the callers and sites take turns, twins follow each other."""
    dice = random.Random(seed)
    number = 0

    def said(file: bool = False) -> Said:
        mark = f"mk{dice.getrandbits(48):012x}"
        return Said(
            mark, f"{mark}: {' '.join(dice.sample(WORDS, 6))}.", f"fk{dice.getrandbits(48):012x}" if file else ""
        )

    while True:
        site = sites[number % len(sites)]
        twins = 2 if callers > 1 and dice.random() < TWIN_SHARE else 1
        opening = said()
        caller = dice.randrange(callers)
        for _ in range(twins):
            count = dice.randint(2, LONGEST) if twins == 2 else dice.randint(1, LONGEST)
            carrier = dice.randrange(count) if site == "demo" and dice.random() < FILE_SHARE else -1
            turns = [opening if twins == 2 and at == 0 else said(at == carrier) for at in range(count)]
            thinking = site == "demo" and dice.random() < THINKING_SHARE
            yield Dialogue(number, caller, site, tuple(turns), dice.random() < 0.5, thinking)
            number += 1
            caller = (caller + 1) % callers


@dataclass(slots=True)
class Asked:
    """One request of a dialogue, and how it ended."""

    dialogue: Dialogue
    turn: int
    outcome: Outcome


def fault_of(asked: Asked) -> str:
    """What is wrong with what the caller saw; empty if nothing."""
    outcome, dialogue = asked.outcome, asked.dialogue
    seen = outcome.text + outcome.reasoning + outcome.rest + outcome.message
    found = {*MARK.findall(seen), *FILE_MARK.findall(seen)}
    if foreign := found - dialogue.owned():
        return f"FOREIGN marks {sorted(foreign)} reached caller {dialogue.caller}"
    if outcome.ending == "broken":
        return outcome.broken
    if outcome.ending == "answer" and (missing := dialogue.wanted(asked.turn) - found):
        return f"marks {sorted(missing)} of turn {asked.turn + 1} are missing"
    return ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A prompt that a site accepted. `conversation` is the site's id, or empty; `files` the first lines of files."""

    site: str
    account: str
    conversation: str
    text: str
    files: tuple[str, ...] = ()


def delivery_faults(asked: Sequence[Asked], deliveries: Iterable[Delivery]) -> list[str]:
    """What the sites saw that they should not: a prompt twice or never, and what belongs to two dialogues."""
    owners: dict[str, set[int]] = defaultdict(set)
    least: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for one in asked:
        for mark in one.dialogue.owned():
            owners[mark].add(one.dialogue.number)
        mark = one.dialogue.turns[one.turn].mark
        most[mark] += 1
        least[mark] += one.outcome.ending == "answer"
    faults: list[str] = []
    arrived: Counter[str] = Counter()
    talks: dict[tuple[str, str, str], set[int]] = {}
    for got in deliveries:
        marks = MARK.findall(got.text)
        if not marks:
            continue  # a probe of somebody else
        arrived[marks[-1]] += 1
        files = [mark for line in got.files for mark in FILE_MARK.findall(line)]
        sharing = _owners_of_all([*marks, *files], owners)
        if not sharing:
            faults.append(f"{got.site}/{got.account} got marks of several dialogues in one prompt: {got.text[:300]!r}")
        if got.conversation:
            key = (got.site, got.account, got.conversation)
            talks[key] = talks[key] & sharing if key in talks else sharing
    faults += [f"conversation {key} served several dialogues" for key, sharing in talks.items() if not sharing]
    for mark in most:
        if not least[mark] <= arrived[mark] <= most[mark]:
            faults.append(
                f"the prompt {mark} arrived {arrived[mark]} times, for {least[mark]} answers of {most[mark]} requests"
            )
    return faults


def _owners_of_all(marks: Sequence[str], owners: Mapping[str, set[int]]) -> set[int]:
    """The dialogues that own every one of the marks."""
    sets = [owners.get(mark, set()) for mark in marks]
    return set.intersection(*sets) if sets else set()


def continued(deliveries: Iterable[Delivery]) -> int:
    """How many prompts went into a conversation that the site had already."""
    seen: Counter[tuple[str, str, str]] = Counter(
        (one.site, one.account, one.conversation) for one in deliveries if one.conversation
    )
    return sum(count - 1 for count in seen.values())
