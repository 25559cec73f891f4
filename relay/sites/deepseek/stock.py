"""What is prepared ahead of DeepSeek's next chat: a session without messages, a solved proof (section 4)."""

from __future__ import annotations

import time
from typing import Generic, TypeVar

from loguru import logger

from relay.chat.request import Turn
from relay.errors import RelayError
from relay.sites.deepseek.calls import COMPLETION, Visit, both
from relay.sites.deepseek.proof import Proof

SESSION_KEEPS_S = 24 * 3600.0
"""A third of what the site gives an unused session."""
T = TypeVar("T")


class Kept(Generic[T]):
    """One thing, until somebody takes it or it spoils."""

    def __init__(self) -> None:
        self._thing: T | None = None
        self._until = 0.0

    def __repr__(self) -> str:
        return f"<Kept {'one' if self else 'none'}>"

    def __bool__(self) -> bool:
        return self._thing is not None and time.monotonic() < self._until

    def put(self, thing: T, keeps_s: float) -> None:
        """Keep it for so many seconds."""
        self._thing, self._until = thing, time.monotonic() + keeps_s

    def take(self) -> T | None:
        """What is there, which then is no more."""
        thing, self._thing = (self._thing if self else None), None
        return thing


class Stock:
    """An account's."""

    def __init__(self) -> None:
        self._sessions: Kept[str] = Kept()
        self._proofs: Kept[Proof] = Kept()

    def __repr__(self) -> str:
        return f"<Stock sessions={self._sessions} proofs={self._proofs}>"

    async def begin(self, visit: Visit, turn: Turn, *, fresh: bool = False) -> tuple[str, Proof, bool]:
        """The session and the proof of a turn, and whether one of them was kept; `fresh`: none is to be."""
        proof = None if fresh else self._proofs.take()
        if turn.conversation is not None:
            return turn.conversation.id, proof or await visit.proof(COMPLETION), proof is not None
        session = None if fresh else self._sessions.take()
        made = await both(visit.session(session), visit.proof(COMPLETION, proof))
        return *made, (session or proof) is not None

    async def fill(self, visit: Visit) -> None:
        """Prepare for the next chat, while the page waits for the answer of this one."""
        try:
            if not self._proofs:
                proof = await visit.proof(COMPLETION)
                self._proofs.put(proof, proof.keeps_s)
            if not self._sessions:
                self._sessions.put(await visit.session(), SESSION_KEEPS_S)
        except RelayError as error:
            logger.debug("nothing was prepared ahead: {}", error)
