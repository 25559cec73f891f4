"""Files at addresses of the caller's (`RELAY_FETCH_URLS`).

The host is resolved once, every address that it has is checked, and exactly those are connected to: DNS that changes
in between is never asked. No cookies, keys or proxies of ours are in it, and redirects pass the same checks.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from email.message import Message as Header
from email.utils import collapse_rfc2231_value
from functools import cached_property
from pathlib import PurePosixPath
from typing import Literal, Protocol
from urllib.parse import unquote

import httpcore
import httpx

from relay import __version__
from relay.api.attachments import MAX_FILE_BYTES
from relay.api.public_addresses import is_local_name, is_public, joined, read_address
from relay.errors import BadRequest, RelayError, TooLarge

MAX_REDIRECTS = 5
TOTAL_S = 60.0
CONNECT_S = 10.0
SILENCE_S = 30.0
PIECE_BYTES = 256 * 1024
"""What is unpacked at once, however little it was packed to."""
_MAX_TRIED = 4
_MAX_DISPOSITION_CHARS = 1000
_REDIRECTS = (301, 302, 303, 307, 308)
_PACKED = ("gzip", "x-gzip", "deflate")
_FAULTS = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol)

Resolve = Callable[[str, int], Awaitable[list[str]]]
Spend = Callable[[int], None]
"""Told how many bytes more have come; raises where they are too many."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What an address gave: bytes, and what its server calls them."""

    data: bytes
    name: str
    mime: str


class Unpacker(Protocol):
    """What `zlib.decompressobj` gives."""

    @property
    def unconsumed_tail(self) -> bytes: ...
    @property
    def eof(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int = 0, /) -> bytes: ...


async def resolved(host: str, port: int) -> list[str]:
    """The IP addresses of a host. Raises OSError, UnicodeError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Fetcher:
    """`fetched = await Fetcher("public").fetch(address, param)`."""

    def __init__(
        self,
        who: Literal["none", "public", "any"],
        *,
        resolve: Resolve = resolved,
        most_bytes: int = MAX_FILE_BYTES,
        total_s: float = TOTAL_S,
    ) -> None:
        self._who = who
        self._resolve = resolve
        self._most_bytes = most_bytes
        self._total_s = total_s

    def __repr__(self) -> str:
        return f"<Fetcher {self._who}>"

    async def fetch(self, address: str, param: str, spend: Spend = lambda count: None) -> Fetched:
        """The file at `address`, which stands at `param` in the body.

        Raises BadRequest for what may not or cannot be fetched, TooLarge, and what `spend` raises.
        """
        if self._who == "none":
            raise BadRequest(
                f"{param}: files by address are not fetched here (RELAY_FETCH_URLS=none). "
                "Send a data URL (data:<type>;base64,…).",
                param=param,
            )
        url = read_address(address, param)
        network = _CheckedNetwork(self._resolve, param, public=self._who == "public")
        pool = httpcore.AsyncConnectionPool(ssl_context=self._tls, network_backend=network)
        try:
            async with asyncio.timeout(self._total_s), pool:
                return await self._follow(pool, url, param, spend)
        except (TimeoutError, httpcore.TimeoutException):
            raise BadRequest(
                f"{param}: the address did not give its file in time ({self._total_s:g} s).", param=param
            ) from None
        except _FAULTS as error:
            why = str(error)[:200] or type(error).__name__
            raise BadRequest(f"{param}: the address could not be fetched: {why}", param=param) from None

    async def _follow(self, pool: httpcore.AsyncConnectionPool, url: httpx.URL, param: str, spend: Spend) -> Fetched:
        for _ in range(MAX_REDIRECTS + 1):
            async with pool.stream("GET", _target(url), headers=_headers(url), extensions=_CLOCKS) as response:
                headers = httpx.Headers(response.headers)
                if response.status in _REDIRECTS and "location" in headers:
                    url = joined(url, headers["location"], param)
                    continue
                if response.status != 200:
                    raise BadRequest(
                        f"{param}: the address answered HTTP {response.status}, not with a file.", param=param
                    )
                data = await self._read(response, headers, param, spend)
                return Fetched(data, name_of(headers, url), headers.get("content-type", ""))
        raise BadRequest(f"{param}: the address redirects more than {MAX_REDIRECTS} times.", param=param)

    async def _read(self, response: httpcore.Response, headers: httpx.Headers, param: str, spend: Spend) -> bytes:
        """The body, unpacked. What the server says of its length is not believed."""
        packing = headers.get("content-encoding", "identity").strip().lower()
        if packing not in (*_PACKED, "identity", ""):
            raise BadRequest(f"{param}: the address gives its file packed in a way relay does not know.", param=param)
        unpacker: Unpacker | None = zlib.decompressobj(zlib.MAX_WBITS | 32) if packing in _PACKED else None
        pieces: list[bytes] = []
        size = 0
        try:
            async for raw in response.aiter_stream():
                for piece in unpacked(raw, unpacker):
                    size += len(piece)
                    if size > self._most_bytes:
                        raise TooLarge(f"{param}: the file is larger than {self._most_bytes >> 20} MiB.", param=param)
                    spend(len(piece))
                    pieces.append(piece)
        except zlib.error:
            raise BadRequest(f"{param}: the address gives a packed file that is damaged.", param=param) from None
        if unpacker is not None and not unpacker.eof:
            raise BadRequest(f"{param}: the address gave only a part of its file.", param=param)
        return b"".join(pieces)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return httpx.create_ssl_context()


class _CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to the addresses that it has checked; names of hosts go no further. TLS still wants the name's proof."""

    def __init__(self, resolve: Resolve, param: str, *, public: bool) -> None:
        self._resolve = resolve
        self._param = param
        self._public = public
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises BadRequest where the host has no address that may be called."""
        addresses = (await self._checked(host, port))[:_MAX_TRIED]
        fault: Exception = httpcore.ConnectError("no address")
        for address in addresses:
            try:
                return await self._network.connect_tcp(
                    address, port, CONNECT_S / len(addresses), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                fault = error
        raise fault

    async def _checked(self, host: str, port: int) -> list[str]:
        if self._public and is_local_name(host):
            raise self._refusal()
        try:
            async with asyncio.timeout(CONNECT_S):
                addresses = await self._resolve(host, port)
        except (OSError, UnicodeError):  # TimeoutError is an OSError
            raise BadRequest(f"{self._param}: the host of the address was not found.", param=self._param) from None
        if self._public and not all(is_public(ipaddress.ip_address(one)) for one in addresses):
            raise self._refusal()
        return addresses

    def _refusal(self) -> RelayError:
        # Not which address: that would be an answer about our network.
        return BadRequest(
            f"{self._param}: the address is not one of the open internet; RELAY_FETCH_URLS=public fetches no other. "
            "Send a data URL (data:<type>;base64,…).",
            param=self._param,
        )


_CLOCKS = {"timeout": {"connect": CONNECT_S, "read": SILENCE_S, "write": CONNECT_S, "pool": TOTAL_S}}


def _target(url: httpx.URL) -> httpcore.URL:
    """The same address in httpcore's parts, not parsed again."""
    return httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


def _headers(url: httpx.URL) -> list[tuple[bytes, bytes]]:
    return [
        (b"Host", url.netloc),
        (b"User-Agent", f"relay/{__version__}".encode()),
        (b"Accept", b"*/*"),
        (b"Accept-Encoding", b"identity"),
    ]


def unpacked(raw: bytes, unpacker: Unpacker | None) -> Iterator[bytes]:
    """Bytes as they were before packing, in pieces of bounded size. Raises zlib.error."""
    if unpacker is None:
        yield raw
        return
    while raw and not unpacker.eof:
        yield unpacker.decompress(raw, PIECE_BYTES)
        raw = unpacker.unconsumed_tail


def name_of(headers: httpx.Headers, url: httpx.URL) -> str:
    """The file's name as its server has it (RFC 6266: `filename*` before `filename`), else the address's last part."""
    header = Header()
    header["content-disposition"] = headers.get("content-disposition", "")[:_MAX_DISPOSITION_CHARS]
    given = [value for key, value in header.get_params([], "content-disposition") if key.lower() == "filename"]
    given.sort(key=lambda value: isinstance(value, str))  # `filename*` is three values
    return collapse_rfc2231_value(given[0]) if given else unquote(PurePosixPath(url.path).name)
