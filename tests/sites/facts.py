"""What a site can do by a driver, from its own declarations: what the contract holds it to."""

from __future__ import annotations

import os
from functools import cache
from typing import Literal

from relay.sites.base import ModelSpec, Site
from relay.sites.registry import SITES

Able = Literal["model", "thinking", "search", "agent", "files", "images", "turns", "delete"]
SWITCHES = ("model", "thinking", "search", "agent")

CHOSEN = tuple(os.environ.get("RELAY_CONTRACT_SITES", ",".join(SITES)).split(","))
"""The sites that are tested."""
PAIRS: tuple[tuple[str, str], ...] = tuple((site, driver) for site in CHOSEN for driver in SITES[site].drivers)
"""Each of them with each of its drivers."""


@cache
def site_of(site: str) -> Site:
    """One that nobody is logged in at: for what needs an instance."""
    return SITES[site]()


def default(site: str) -> ModelSpec:
    """The model that a client means who names only the site."""
    return next(spec for spec in SITES[site].models if spec.default)


def another(site: str) -> ModelSpec | None:
    """A model that is not the default, if there is one."""
    return next((spec for spec in SITES[site].models if not spec.default), None)


def able(site: str, driver: str, what: Able) -> bool:
    """Whether a site can do something by a driver."""
    kind, spec, fetches = SITES[site], default(site), driver.startswith("fetch")
    can = kind.capabilities
    match what:
        case "model":
            has = another(site) is not None
        case "thinking":
            has = can.thinking and spec.thinking
        case "search":
            has = can.search and spec.search
        case "agent":
            has = bool(can.agents)
        case "files" | "images":
            wanted = can.files and spec.files if what == "files" else can.images and spec.images
            return wanted and (fetches or bool(site_of(site).selectors.current().roles.get("attach")))
        case "turns":
            return site_of(site).continues(driver)
        case "delete":
            # The dom driver knows a conversation by the page's address only.
            named = driver != "dom" or bool(kind.screen and kind.screen.conversation)
            return can.delete and named
    return has and (fetches or (kind.screen is not None and what in kind.screen.switches))


def logs_in(site: str) -> bool:
    """Whether the site has a login at all (a public Gradio app has none)."""
    return SITES[site].token_pattern is not None or bool(SITES[site].state_hosts)
