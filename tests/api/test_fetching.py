"""Files by address: what is refused, and what a bad server can do."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import threading
import zlib
from collections.abc import Awaitable, Callable, Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import httpcore
import httpx
import pytest

from relay.api.fetching import PIECE_BYTES, Fetcher, name_of
from relay.api.public_addresses import is_public, literal
from relay.errors import BadRequest, TooLarge
from tests.api.address_server import AddressServer, address_server
from tests.api.test_bad_input import PNG
from tests.replicas.certificate import self_signed

PUBLIC = "93.184.216.34"
PARAM = "messages[0].content[0].image_url"
MIB = 1 << 20


@pytest.fixture
def server() -> Iterator[AddressServer]:
    with address_server() as made:
        yield made


def answers(*addresses: list[str]) -> Callable[[str, int], Awaitable[list[str]]]:
    """A DNS that gives these answers, one after the other; there are no more."""
    left = list(addresses)

    async def resolve(host: str, port: int) -> list[str]:
        return left.pop(0)

    return resolve


async def refused(fetcher: Fetcher, address: str, said: str | None = None) -> None:
    with pytest.raises(BadRequest, match=said) as caught:
        await fetcher.fetch(address, PARAM)
    assert caught.value.param == PARAM
    assert caught.value.message.startswith(f"{PARAM}: ")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("64:ff9b::5db8:d822", True),  # a public IPv4 host, seen from a network of IPv6 only
        ("::ffff:93.184.216.34", True),
        ("0.0.0.0", False),
        ("0.1.2.3", False),
        ("10.0.0.1", False),
        ("100.64.0.1", False),
        ("100.100.100.200", False),
        ("127.0.0.1", False),
        ("127.255.255.254", False),
        ("168.63.129.16", False),
        ("169.254.169.254", False),
        ("172.16.0.1", False),
        ("192.0.0.192", False),
        ("192.168.1.1", False),
        ("198.18.0.1", False),
        ("203.0.113.7", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::127.0.0.1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("64:ff9b:1::1", False),
        ("2002:7f00:1::", False),
        ("2002:c0a8:101::1", False),
        ("2001:0:7f00:1::", False),
        ("fc00::1", False),
        ("fd00:ec2::254", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("fec0::1", False),
        ("3fff::1", False),
        ("2001:2::1", False),
        ("ff02::1", False),
        ("2001:db8::1", False),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0177.0.0.1/",
        "http://0x7f.1/",
        "http://0x7f000001/",
        "http://127.0.0.1./",
        "http://[::1]/",
        "http://[::]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[fe80::1%25eth0]/",
        "http://0.0.0.0/",
        "http://0/",
        "http://10.0.0.1:8080/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/",
        "http://localhost/",
        "http://LocalHost.:80/",
        "http://a.localhost/",
        "http://a.b.localhost./",
        "http://１２７.０.０.１/",
        "http://127。0。0。1/",
        "http://example.com@127.0.0.1/",
        "http://127.0.0.1@example.com/",
        "http://user:password@example.com/",
        "http://example.com\\@127.0.0.1/",
        "http://127.0.0.1\\@example.com/",
        "http://example.com:80@127.0.0.1:80/",
        "http://:@127.0.0.1/",
        "http://127.0.0.1#@example.com/",
        "http://127.0.0.1?@example.com/",
        " http://127.0.0.1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_INFO",
        "ftp://example.com/a",
        "javascript:alert(1)",
        "http:///etc/passwd",
        "http://",
        "//127.0.0.1/",
        "http://a b/",
        "http://example.com:99999/",
        "http://[::1/",
        "http://" + "a" * 70 + ".example/",
        "http://example.com/" + "a" * 100_000,
        "http://exa\nmple.com/",
        "http://ex\x00ample.com/",
    ],
)
async def test_hostile_addresses(address: str) -> None:
    """Names that get as far as DNS are not found here; addresses are what they are."""

    async def resolve(host: str, port: int) -> list[str]:
        if literal(host) is None:
            raise OSError("not found")
        return [host]

    await refused(Fetcher("public", resolve=resolve), address)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/", "http://localhost:9/", "http://[::1]:9/"])
async def test_the_systems_own_resolver(address: str) -> None:
    await refused(Fetcher("public"), address, "not one of the open internet")


async def test_none_fetches_none(server: AddressServer) -> None:
    await refused(Fetcher("none"), server.put("/a", PNG), "RELAY_FETCH_URLS=none")
    assert server.asked == []


async def test_one_private_address_among_public_ones() -> None:
    resolve = answers([PUBLIC, "10.0.0.1"])
    await refused(Fetcher("public", resolve=resolve), "http://example.com/", "open internet")


async def test_a_host_that_is_not_there() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        raise OSError("Name or service not known")

    await refused(Fetcher("public", resolve=resolve), "http://example.com/", "was not found")


@pytest.fixture
def connected(server: AddressServer, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A network in which the one public address is the local server; what was connected to."""
    seen: list[str] = []
    connect = httpcore.AnyIOBackend.connect_tcp

    async def to_server(self: httpcore.AnyIOBackend, host: str, port: int, *rest: Any) -> httpcore.AsyncNetworkStream:
        seen.append(host)
        assert host == PUBLIC
        return await connect(self, "127.0.0.1", server.port, *rest)

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", to_server)
    return seen


async def test_dns_that_changes(server: AddressServer, connected: list[str]) -> None:
    """The second answer is never asked for: what was checked is what is connected to."""
    server.put("/a.png", PNG)
    resolve = answers([PUBLIC], ["127.0.0.1"])
    fetched = await Fetcher("public", resolve=resolve).fetch("http://example.com/a.png", PARAM)
    assert (fetched.data, fetched.name) == (PNG, "a.png")
    assert connected == [PUBLIC]
    assert await resolve("", 0) == ["127.0.0.1"], "the second answer is still there"
    [(_, headers)] = server.asked
    assert headers["host"] == "example.com"
    assert not {"authorization", "cookie", "x-api-key", "referer"} & headers.keys()


@pytest.mark.parametrize(
    "to",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "//127.0.0.1/",
        "http://2852039166/",
        "file:///etc/passwd",
        "gopher://x/",
        "http://user@example.com/",
        "http://localhost/",
        "http://rebound.example/",
        "http://[/",
    ],
)
async def test_hostile_redirects(server: AddressServer, connected: list[str], to: str) -> None:
    server.redirect("/a", to)
    resolve = answers([PUBLIC], ["169.254.169.254"])
    await refused(Fetcher("public", resolve=resolve), "http://example.com/a")
    assert connected == [PUBLIC]
    assert len(server.asked) == 1


async def test_redirects(server: AddressServer) -> None:
    server.put("/5/end.png", PNG)
    for count in range(6):
        server.redirect(f"/{count}", f"../{count + 1}" if count < 4 else f"{server.url}/5/end.png")
    assert (await Fetcher("any").fetch(f"{server.url}/0", PARAM)).name == "end.png"
    server.redirect("/first", "/0")
    await refused(Fetcher("any"), f"{server.url}/first", "more than 5")
    server.redirect("/loop", "/loop")
    await refused(Fetcher("any"), f"{server.url}/loop", "more than 5")


async def test_no_cookies_and_no_proxies(server: AddressServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server.put("/b", PNG)
    server.put("/a", b"", "Set-Cookie: a=b", "Location: /b", status="302 Found")
    assert (await Fetcher("any").fetch(f"{server.url}/a", PARAM)).data == PNG
    assert not any("cookie" in headers for _, headers in server.asked)


@pytest.mark.parametrize("status", ["204 No Content", "206 Partial", "401 No", "404 Not Found", "500 No", "304 No"])
async def test_other_statuses(server: AddressServer, status: str) -> None:
    await refused(Fetcher("any"), server.put("/a", b"", status=status), f"HTTP {status[:3]}")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"hello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Encoding: gzip\r\n\r\nhehe",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Encoding: br\r\n\r\nhehe",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"whole" * 1000)[:-12],
    ],
    ids=["nothing", "no HTTP", "short", "half a chunk", "endless head", "no gzip", "no brotli", "half of gzip"],
)
async def test_servers_that_break_off(server: AddressServer, answer: bytes) -> None:
    server.answers["/a"] = answer
    await refused(Fetcher("any"), f"{server.url}/a")


async def test_nobody_listens() -> None:
    with address_server() as closed:
        url = closed.url
    await refused(Fetcher("any"), url, "could not be fetched")


async def test_packed_although_it_was_not_asked_for(server: AddressServer) -> None:
    text = b"a file of many words " * 100_000
    for coding, body in (("gzip", gzip.compress(text)), ("deflate", zlib.compress(text)), ("identity", text)):
        url = server.put("/a", body, f"Content-Encoding: {coding}")
        assert (await Fetcher("any").fetch(url, PARAM)).data == text


async def test_a_gzip_bomb(server: AddressServer) -> None:
    url = server.put("/a", gzip.compress(bytes(64 * MIB)), "Content-Encoding: gzip")
    spent: list[int] = []
    with pytest.raises(TooLarge, match="larger than 1 MiB"):
        await Fetcher("any", most_bytes=MIB).fetch(url, PARAM, spent.append)
    assert sum(spent) <= MIB
    assert max(spent) <= PIECE_BYTES


async def test_the_size_is_counted_as_it_comes(server: AddressServer) -> None:
    def endless(out: BufferedIOBase) -> None:
        out.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            out.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")

    server.answers["/a"] = endless
    with pytest.raises(TooLarge):
        await Fetcher("any", most_bytes=MIB).fetch(f"{server.url}/a", PARAM)
    assert await asyncio.to_thread(server.left.wait, 10), "the connection is closed"


async def test_what_others_spend_stops_it_too(server: AddressServer) -> None:
    def spend(count: int) -> None:
        raise TooLarge("together too large")

    with pytest.raises(TooLarge, match="together"):
        await Fetcher("any").fetch(server.put("/a", PNG), PARAM, spend)


async def test_a_server_that_never_ends(server: AddressServer) -> None:
    ended = threading.Event()

    def trickle(out: BufferedIOBase) -> None:
        out.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not ended.wait(0.01):
            out.write(b"x")

    server.answers["/a"] = trickle
    try:
        await refused(Fetcher("any", total_s=0.5), f"{server.url}/a", "in time")
        assert await asyncio.to_thread(server.left.wait, 10)
    finally:
        ended.set()


async def test_a_resolver_that_never_answers() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    await refused(Fetcher("any", resolve=resolve, total_s=0.1), "http://example.com/", "in time")


@pytest.mark.parametrize("name", ["files.example", "other.example"])
async def test_certificates_are_of_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """It is connected to by its address, and its certificate is nevertheless that of its name."""
    pem = self_signed(["files.example"], tmp_path)
    with address_server((pem.certificate, pem.key)) as server:
        server.put("/a", PNG)
        url = f"https://{name}:{server.port}/a"
        await refused(Fetcher("any", resolve=answers(["127.0.0.1"])), url, "(?i)certificate")
        monkeypatch.setenv("SSL_CERT_FILE", str(pem.certificate))
        fetcher = Fetcher("any", resolve=answers(["127.0.0.1"]))
        if name == "files.example":
            assert (await fetcher.fetch(url, PARAM)).data == PNG
        else:
            await refused(fetcher, url, "(?i)certificate")


async def test_the_next_address_is_tried(server: AddressServer) -> None:
    """Many hosts have an IPv6 address that cannot be reached from here."""
    url = server.put("/a", PNG).replace("127.0.0.1", "files.example")
    assert (await Fetcher("any", resolve=answers(["127.0.0.2", "127.0.0.1"])).fetch(url, PARAM)).data == PNG


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        (None, "näme.png"),
        ("inline", "näme.png"),
        ('attachment; filename="a b.pdf"', "a b.pdf"),
        ("attachment; FileName=a.pdf", "a.pdf"),
        ("attachment; filename=a.pdf; filename*=UTF-8''na%C3%AFve.pdf", "naïve.pdf"),
        ("attachment; filename*=UTF-8''na%C3%AFve.pdf; filename=a.pdf", "naïve.pdf"),
        ("attachment; filename*=no-such''a%ff.pdf", "aÿ.pdf"),
        ("attachment; filename*=UTF-8'%", "UTF-8'%"),
        (";;;==", "näme.png"),
        ("attachment; " + 'x="' * 30_000, "näme.png"),
    ],
)
def test_names(disposition: str | None, name: str) -> None:
    headers = httpx.Headers({} if disposition is None else {"content-disposition": disposition})
    assert name_of(headers, httpx.URL("https://example.com/b/n%C3%A4me.png?x=/y.gif")) == name
