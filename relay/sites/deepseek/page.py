"""DeepSeek's page, set as a person would set it (section 6 of the fact sheet)."""

from __future__ import annotations

from contextlib import suppress

from relay.browser.screen import MissingRole, Screen
from relay.browser.tab import Tab
from relay.errors import PageLeft, RelayError
from relay.sites.deepseek.calls import Visit

LOOK_S, PAGE_S, SWITCH_S = 2.0, 8.0, 1.0
"""How long the page is looked at before the API is asked what is wrong, and then; and for a switch that was pressed."""
PRESSES = 5


async def typable(tab: Tab, screen: Screen) -> bool:
    """Whether one can type in the page by now.

    What stands in the page's place the API tells as well: raises LoginNeeded, ChallengeNeeded.
    """
    for patience_s in (LOOK_S, PAGE_S):
        with suppress(PageLeft):  # for its login
            if await screen.wait("input", timeout_s=patience_s):
                return True
        if patience_s == LOOK_S:
            try:
                await (await Visit.of(tab)).user()
            except RelayError as error:
                error.refused = True  # nothing was typed yet
                raise
    return False


async def switch(screen: Screen, role: str, *, on: bool) -> None:
    """Press a switch until it shows what is wanted: what is pressed before the page is alive is lost.

    Raises MissingRole.
    """
    for _ in range(PRESSES):
        if bool(await screen.count(f"{role}_on")) == on:
            return
        try:
            await screen.click(role)
        except MissingRole as error:
            error.refused = True  # nothing was typed yet
            raise
        if on:
            await screen.wait(f"{role}_on", timeout_s=SWITCH_S)
    raise await screen.missing(f"{role}_on", "a switch that cannot be pressed")
