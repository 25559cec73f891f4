"""DeepSeek's proof of work, solved in the page (section 4 of the fact sheet)."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

from relay.browser.tab import Tab
from relay.errors import SiteChanged
from relay.sites.deepseek.messages import Challenge
from relay.sites.deepseek.requests import proof_header

SOLVE_S = 30.0
"""Longer than the slowest machine needs for the site's own difficulty (144,000)."""
MARGIN_S = 15.0
"""How long before its end a proof is no longer used."""
SOLVER = (files("relay.sites.deepseek") / "pow.js").read_text("utf-8")


async def solve(tab: Tab, challenge: Challenge) -> int:
    """The answer to a challenge, found in the page. Raises SiteChanged where there is none."""
    prefix = f"{challenge.salt}_{challenge.expire_at}_"
    answer = await tab.evaluate(
        SOLVER,
        challenge.challenge.lower(),
        prefix,
        challenge.difficulty,
        SOLVE_S * 1000,
        timeout_s=SOLVE_S + 5,
    )
    if not isinstance(answer, int):
        raise SiteChanged(
            "a proof of work that can be solved",
            f"no answer below {challenge.difficulty} in {SOLVE_S:g} s",
            refused=True,
        )
    return answer


@dataclass(frozen=True, slots=True)
class Proof:
    """A challenge and its answer, good for one call."""

    challenge: Challenge
    answer: int

    @property
    def headers(self) -> dict[str, str]:
        """What carries it."""
        return proof_header(self.challenge, self.answer)

    @property
    def keeps_s(self) -> float:
        """How long it may be kept, from when it was made; by the site's own clock nothing is measured."""
        return self.challenge.expire_after / 1000 - MARGIN_S
