"""Model names: what a client writes in `model`, taken apart.

    <site>                          the site's default model
    <site>/<model>                  one of its models, by key or alias
    <model>                         a key or alias that only one site has
    <site>/<account>[/<value>]      sites with several base addresses (gradio)
    <site>/<agent id>               an agent, bot or custom GPT; a bare 20-character Kimi agent id too
    <name>+<name>                   a comparison of two to four of any of these: see `compared`
    …-search -think -silent -research   switches, in any order; `silent_search` anywhere means -silent

Exact names and aliases win before suffixes are cut. Where the exact spelling is unknown, case does not matter.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Protocol

from relay.chat.request import ModelChoice
from relay.errors import BadRequest, UnknownModel

MAX_NAME_CHARS = 256
MAX_COMPARED = 4
_SUFFIXES = {"-search": "search", "-think": "thinking", "-silent": "silent", "-research": "research"}
_SILENT_SEARCH = re.compile(r"[-_/:]?silent_search", re.IGNORECASE)
_KIMI_AGENT = re.compile(r"[0-9a-z]{20}")


class Named(Protocol):
    """What this module wants to know of a model on offer (the pool's `Offer` has it)."""

    @property
    def id(self) -> str: ...
    @property
    def site(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def default(self) -> bool: ...
    @property
    def aliases(self) -> tuple[str, ...]: ...
    @property
    def account(self) -> str: ...
    @property
    def agents(self) -> str: ...
    @property
    def ready(self) -> bool: ...


def resolve(name: str, offers: Sequence[Named]) -> ModelChoice:
    """Take a client's model name apart. Raises UnknownModel, naming what is close."""
    if not name or len(name) > MAX_NAME_CHARS:
        raise _unknown(name, offers)
    bare, switches = name, set[str]()
    while bare:
        found = _exact(bare, offers)
        if found is not None:
            return dataclasses.replace(
                found,
                requested=name,
                thinking="thinking" in switches,
                search="search" in switches,
                silent="silent" in switches,
                research="research" in switches,
            )
        bare, switch = _cut(bare)
        switches.add(switch)
    raise _unknown(name, offers)


def compared(name: str, offers: Sequence[Named]) -> tuple[str, ...]:
    """The names that a client's model name joins by `+`; one where it is a model's own, plus or not.

    Raises UnknownModel where it means nothing, BadRequest for too many.
    """
    try:
        resolve(name, offers)
    except UnknownModel:
        names = tuple(part.strip() for part in name.split("+"))
        if len(names) < 2:
            raise
        if len(names) > MAX_COMPARED:
            raise BadRequest(
                f"{len(names)} models are too many to compare: {MAX_COMPARED} at most.", param="model"
            ) from None
        for part in names:
            resolve(part, offers)
        return names
    return (name,)


def _cut(name: str) -> tuple[str, str]:
    """The name without its last switch, and that switch; both empty where it has none."""
    without = _SILENT_SEARCH.sub("", name, count=1)
    if without != name:
        return without.lstrip("-_/:"), "silent"
    for suffix, flag in _SUFFIXES.items():
        if name.lower().endswith(suffix):
            return name[: -len(suffix)], flag
    return "", ""


def _exact(name: str, offers: Sequence[Named]) -> ModelChoice | None:
    """What the name means with nothing cut off it."""
    folded = name.casefold()
    for spelt in (name, folded):
        for offer in offers:
            if spelt in (offer.id, offer.id.casefold()):
                return _choose(offer)
    same_site = [offer for offer in offers if offer.site.casefold() == folded]
    if same_site:
        return _choose(_default(same_site))
    site, slash, rest = name.partition("/")
    if slash and rest:
        mine = [offer for offer in offers if offer.site.casefold() == site.casefold()]
        if mine:
            return _within(rest, mine)
    return _bare(name, offers)


def _within(rest: str, mine: Sequence[Named]) -> ModelChoice | None:
    """`rest` of `<site>/<rest>`: a model, an account with a value of its own, or an agent."""
    offer = _unique(_called(rest, mine))
    if offer is not None:
        return _choose(offer)
    account, _, value = rest.partition("/")
    bound = [offer for offer in mine if offer.account and offer.account == account]
    if bound and not value:
        return dataclasses.replace(_choose(_default(bound)), account=account)
    # The values of an app are known only once it was opened: until then any is taken, and the app refuses.
    if bound and all(not offer.key for offer in bound):
        return dataclasses.replace(_choose(bound[0]), model=value)
    pattern = next((offer.agents for offer in mine if offer.agents), "")
    if pattern and re.fullmatch(pattern, rest):
        return dataclasses.replace(_choose(_default(mine)), agent=rest)
    return None


def _bare(name: str, offers: Sequence[Named]) -> ModelChoice | None:
    called = _called(name, offers)
    offer = _unique(called) or _unique([offer for offer in called if offer.ready])
    if offer is not None:
        return _choose(offer)
    kimi = [offer for offer in offers if offer.site == "kimi"]
    if not called and kimi and _KIMI_AGENT.fullmatch(name):
        return dataclasses.replace(_choose(_default(kimi)), agent=name)
    return None


def _called(name: str, offers: Sequence[Named]) -> list[Named]:
    """Offers whose key or alias is `name`: as spelt, else without case."""
    exact = [offer for offer in offers if name == offer.key or name in offer.aliases]
    if exact:
        return exact
    folded = name.casefold()
    return [o for o in offers if folded == o.key.casefold() or folded in map(str.casefold, o.aliases)]


def _unique(offers: Sequence[Named]) -> Named | None:
    """The one model that all of these are, if they are one."""
    meant = {(offer.site, offer.key, offer.account) for offer in offers}
    return offers[0] if len(meant) == 1 else None


def _default(offers: Sequence[Named]) -> Named:
    """The default of one site's offers: of an account that is there, if any is."""
    return max(offers, key=lambda offer: (offer.default and offer.ready, offer.default, offer.ready))


def _choose(offer: Named) -> ModelChoice:
    return ModelChoice(site=offer.site, model=offer.key, requested=offer.id, account=offer.account)


def _unknown(name: str, offers: Iterable[Named]) -> UnknownModel:
    names = {offer.site for offer in offers} | {offer.id for offer in offers}
    for offer in offers:
        names.update(offer.aliases)
    close = _close(name[:MAX_NAME_CHARS], names)
    hint = f" Close to it: {', '.join(close)}." if close else ""
    shown = name if len(name) <= 100 else f"{name[:100]}…"
    return UnknownModel(f"There is no model {shown!r}.{hint} GET /v1/models lists those you have.", param="model")


def _close(name: str, names: set[str]) -> list[str]:
    folded = {known.casefold(): known for known in sorted(names)}
    close = [folded[match] for match in difflib.get_close_matches(name.casefold(), folded, n=5, cutoff=0.5)]
    site = name.partition("/")[0].casefold()
    return close or [known for known in sorted(names) if known.casefold().startswith(f"{site}/")][:5]
