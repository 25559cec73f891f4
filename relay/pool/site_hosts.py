"""Whose cookie or storage is it? Which hosts belong to a site, told from its address."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from relay.errors import BadRequest
from relay.sites.base import Site

_SECOND_LEVEL = frozenset({"ac", "co", "com", "edu", "go", "gob", "gov", "gr", "mil", "ne", "net", "or", "org"})
"""Under a country's domain these are no registrable domains (`com.cn`, `co.uk`)."""


@dataclass(frozen=True, slots=True)
class SiteHosts:
    """The hosts of a site: what belongs to it."""

    domains: frozenset[str]
    """With all hosts below them."""
    hosts: frozenset[str] = frozenset()
    """An account's own address: with the cookies that the browser sends there, and no other host of that domain."""

    def __str__(self) -> str:
        return ", ".join(sorted(self.domains | self.hosts)) or "no host"

    @classmethod
    def of(cls, site: type[Site], base_url: str = "") -> SiteHosts:
        """Those of a site, and of an account's own `base_url`. Raises BadRequest for one that is no web address."""
        domains = site.state_hosts or (() if site.needs_base_url else (registrable(_host(site.address)),))
        return cls(frozenset(domains), frozenset({_host(base_url)} if base_url else ()))

    def own(self, domain: str) -> bool:
        """Whether a cookie of this domain (a dot before it: and below) belongs to the site."""
        host = domain.removeprefix(".").lower()
        if any(parent in self.domains for parent in (host, *_parents(host))) or host in self.hosts:
            return True
        if not domain.startswith("."):
            return False
        # The browser sends a parent domain's cookies too. Nobody has one of a whole registry's.
        return any(host in _parents(ours) and host != _suffix(host) for ours in self.hosts)

    def own_origin(self, origin: str) -> bool:
        """Whether the storage of an origin (`https://host:port`) belongs to the site."""
        return self.own(_host(origin))


def registrable(host: str) -> str:
    """The domain under which its owner registered a host (`chat.a.com.cn` -> `a.com.cn`); an IP address is its own.

    By the shape of the name, without the public suffix list: a site on somebody else's domain declares `state_hosts`.
    """
    parents = (host, *_parents(host))
    return next((one for one in reversed(parents) if one != _suffix(one)), host)


def _suffix(host: str) -> str:
    """The part of a name that a registry has."""
    if _is_address(host):
        return ""
    labels = host.split(".")
    known = len(labels) > 1 and len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVEL
    return ".".join(labels[-2:] if known else labels[-1:])


def _parents(host: str) -> Iterator[str]:
    """The domains above a name, from the nearest."""
    if not _is_address(host):
        while "." in host:
            host = host.partition(".")[2]
            yield host


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _host(address: str) -> str:
    """The host of an address, IPv6 in brackets as cookies have it. Raises BadRequest, which does not show it."""
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise BadRequest("An address in it, or base_url, is no web address (https://host/).")
    return f"[{host}]" if ":" in host else host
