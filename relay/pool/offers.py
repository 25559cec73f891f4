"""What clients may name as a model, made from the sites and their accounts."""

from __future__ import annotations

from collections.abc import Iterable

from relay.pool.account import Account
from relay.pool.face import Offer
from relay.sites.base import ModelSpec, Site
from relay.sites.registry import SITES


def offers_of(accounts: Iterable[Account], *, everything: bool) -> list[Offer]:
    """One offer per model of every site that has an account; per account where the site goes by base address."""
    by_site: dict[str, list[Account]] = {}
    for account in accounts:
        by_site.setdefault(account.profile.site, []).append(account)
    found: list[Offer] = []
    for site, kind in SITES.items():
        own = by_site.get(site, [])
        if kind.needs_base_url:
            for account in own:
                found += [_offer(kind, spec, account.profile.account) for spec in account.models]
            if own:
                found.append(_offer(kind, ModelSpec("", kind.name, default=True), ""))
        elif own:
            specs = {spec.key: spec for account in own for spec in account.models}
            found += [_offer(kind, spec, "") for spec in specs.values()]
        if not own and everything:
            found += [_offer(kind, spec, "", ready=False) for spec in kind.models]
    return found


def _offer(kind: type[Site], spec: ModelSpec, account: str, *, ready: bool = True) -> Offer:
    parts = [kind.id, account, "" if spec.default else spec.key]
    return Offer(
        id="/".join(part for part in parts if part),
        site=kind.id,
        key=spec.key,
        name=spec.name or spec.key or kind.name,
        default=spec.default,
        aliases=spec.aliases,
        account=account,
        agents=kind.capabilities.agents,
        thinking=spec.thinking,
        search=spec.search,
        images=spec.images,
        files=spec.files,
        draws=spec.draws,
        token_pattern=kind.token_pattern.pattern if kind.token_pattern is not None else "",
        ready=ready,
    )
