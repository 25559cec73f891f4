"""Which addresses of a caller's may be called: well-formed ones, and with `public` only hosts of the open internet.

What is refused would let a caller look, through the relay, into the network that the relay stands in (SSRF).
"""

from __future__ import annotations

import ipaddress
import re

import httpx

from relay.errors import BadRequest

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "168.63.129.16/32",  # Azure's metadata service; those of others stand in link-local and private ranges
        "192.0.0.0/24",  # the rest: not known to every Python that we run on (IANA's special-purpose registries)
        "192.88.99.0/24",
        "3fff::/20",
        "5f00::/16",
        "fec0::/10",
    )
)
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9a-fA-F]*)", re.DOTALL)
"""Hosts that browsers and C libraries read as IPv4 addresses (WHATWG URL, "ends in a number")."""


def read_address(address: str, param: str) -> httpx.URL:
    """The address, taken apart. Raises BadRequest for what is none, or none of http(s)."""
    try:
        url = httpx.URL(address.strip())
    except (httpx.InvalidURL, UnicodeError) as error:
        raise BadRequest(f"{param}: not an address: {str(error)[:200]}", param=param) from None
    return checked(url, param)


def joined(url: httpx.URL, location: str, param: str) -> httpx.URL:
    """Where a redirect leads. Raises BadRequest as `read_address` does."""
    try:
        return checked(url.join(location), param)
    except (httpx.InvalidURL, UnicodeError):
        raise BadRequest(f"{param}: the address redirects to something that is no address.", param=param) from None


def checked(url: httpx.URL, param: str) -> httpx.URL:
    """The address itself. Raises BadRequest where it is not of http(s), names a user, or has a host in disguise."""
    if url.scheme not in ("http", "https"):
        raise BadRequest(f"{param}: only http and https addresses are fetched, not {url.scheme[:20]!r}.", param=param)
    if url.userinfo:
        raise BadRequest(f"{param}: an address with a user name or password in it is not fetched.", param=param)
    if not url.host:
        raise BadRequest(f"{param}: the address names no host.", param=param)
    if _ENDS_IN_NUMBER.fullmatch(url.host.rstrip(".")) and literal(url.host) is None:
        raise BadRequest(f"{param}: write the host's IP address in its usual form.", param=param)
    return url


def literal(host: str) -> Address | None:
    """The IP address that a host is written as; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_local_name(host: str) -> bool:
    """Whether a name means this machine, whatever is resolved (RFC 6761, section 6.3)."""
    name = host.lower().rstrip(".")
    return name == "localhost" or name.endswith(".localhost")


def is_public(address: Address) -> bool:
    """Whether it is a host of the open internet: for addresses that carry another inside, whether that is one."""
    inner = _inside(address)
    if inner:
        return all(is_public(one) for one in inner)
    usable = address.is_global and not address.is_multicast and not address.is_reserved
    return usable and not any(address in network for network in _NOT_PUBLIC)


def _inside(address: Address) -> tuple[Address, ...]:
    """IPv4 addresses inside an IPv6 one: mapped, compatible, NAT64 (RFC 6052), 6to4 (RFC 3056), Teredo (RFC 4380)."""
    if isinstance(address, ipaddress.IPv4Address):
        return ()
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address in _COMPATIBLE or address in _NAT64:
        return (ipaddress.IPv4Address(address.packed[-4:]),)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    return address.teredo or ()
