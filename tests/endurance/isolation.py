"""Isolation: no answer, conversation, file or thought of one caller reaches another; none is lost, none runs twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.endurance.caller import Caller, Outcome
from tests.endurance.crowd import Crowd, Tally, Told
from tests.endurance.dialogues import MARK, Delivery, continued, delivery_faults, planned
from tests.endurance.ground import DRIVERS, Ground, serving
from tests.endurance.processes import Stopwatch
from tests.endurance.report import Result, table

CALLERS = 20
KEYS = [f"key-of-caller-{number:02}" for number in range(CALLERS)]
ACCOUNTS = {"demo": 4, "kimi": 3, "gradio": 3}
WIDTH = 32
DEADLINE_S = 420.0
SCREEN_SHARE = 0.05
"""Of the chats go by the demo site's screen: a page types and draws, which costs a hundred times as much."""
SCREEN_WIDTH = 6
STRANGERS = 20


async def run(ground: Ground, chats: int, seed: int, told: Told, *, screen: bool = True) -> Result:
    """`chats` requests: most by fetch on all sites; with `screen` a share with the demo site by its page."""
    result = Result("isolation", f"scripts/endure isolation --chats {chats} --seed {seed}")
    on_screen = max(int(chats * SCREEN_SHARE), CALLERS) if screen else 0
    rows: list[list[object]] = []
    await _part(ground, result, rows, "fetch", DRIVERS, chats - on_screen, WIDTH, seed, told)
    if on_screen:
        drivers = {**DRIVERS, "demo": "screen"}
        await _part(ground, result, rows, "screen", drivers, on_screen, SCREEN_WIDTH, seed + 1, told)
    head = ["demo by", "chats", "answers", "errors", "continued natively", "chats/s", "longest, s"]
    result.notes.append(table(head, rows))
    result.notes.append(
        f"{CALLERS} callers with a key each; accounts: {_counts(ACCOUNTS)}. A chat is one request: dialogues of 1 to 4 "
        "turns, some of them twins (two callers who begin with the same words), each turn and file with a mark of its "
        "own; the sites repeat all that they were given. Kimi and Gradio go by fetch in both rows. “Continued "
        "natively”: prompts that went into a conversation that the site had already."
    )
    return result


def _counts(accounts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {site}" for site, count in accounts.items())


async def _part(
    ground: Ground,
    result: Result,
    rows: list[list[object]],
    name: str,
    drivers: Mapping[str, str],
    chats: int,
    width: int,
    seed: int,
    told: Told,
) -> None:
    """One server with one choice of drivers."""
    await ground.kimi_repeats()
    with serving(ground.crowded(ACCOUNTS, drivers=drivers, keys=KEYS), result, name) as server:
        crowd = Crowd(server.url, KEYS, deadline_s=DEADLINE_S, told=lambda line: told(f"{name}: {line}"), seed=seed)
        watch = Stopwatch()
        tally = await crowd.run(planned(seed, CALLERS, list(ACCOUNTS)), width=width, requests=chats)
        took_s = watch.s
        told(f"{name}: {tally.line()}")
        mine = {mark for one in tally.asked for mark in one.dialogue.owned()}
        every = [one for one in await ground.deliveries(server, ACCOUNTS) if mine & set(MARK.findall(one.text))]
        strangers = await _strangers(server.url, tally)
    _judge(result, name, tally, every)
    result.none(f"{name}: a stranger with another's conversation id gets 404", strangers)
    result.notes.append(f"{name}: {tally.line()}.")
    rows.append(
        [
            *(name, tally.total, tally.endings["answer"], tally.codes(), continued(every)),
            *(f"{tally.total / took_s:.1f}", f"{tally.longest_s:.1f}"),
        ]
    )


def _judge(result: Result, name: str, tally: Tally, deliveries: Sequence[Delivery]) -> None:
    """What the callers saw, and what the sites saw."""
    foreign = [fault for fault in tally.faults if "FOREIGN" in fault]
    missing = [fault for fault in tally.faults if "are missing" in fault]
    result.none(f"{name}: another caller's mark in an answer", foreign)
    result.none(f"{name}: answers without a mark of their own history", missing)
    result.none(
        f"{name}: requests that end in neither an answer nor one honest error",
        [fault for fault in tally.faults if fault not in foreign and fault not in missing],
    )
    result.none(
        f"{name}: prompts that a site got twice, never, or mixed with another's",
        delivery_faults(tally.asked, deliveries),
    )
    result.evidence += [f"{name}: an error: {line}" for line in tally.errors]


async def _strangers(url: str, tally: Tally) -> list[str]:
    """Callers who name the conversations of others: what they got instead of 404."""
    answered = [one for one in tally.asked if one.outcome.ending == "answer" and one.outcome.answer_ids]
    faults = []
    for number, one in enumerate(answered[:: max(len(answered) // STRANGERS, 1)][:STRANGERS]):
        key = KEYS[(one.dialogue.caller + 1 + number % (CALLERS - 1)) % CALLERS]
        async with Caller(url, key, deadline_s=DEADLINE_S) as stranger:
            for answer_id in one.outcome.answer_ids:
                outcome = await stranger.ask(
                    one.dialogue.model, [{"role": "user", "content": "What did I say?"}], conversation_id=answer_id
                )
                if not _refused(outcome):
                    faults.append(f"{answer_id} of caller {one.dialogue.caller}: {outcome.evidence()}")
    return faults


def _refused(outcome: Outcome) -> bool:
    return (outcome.status, outcome.code) == (404, "conversation_not_found")
