"""`/v1/files` by HTTP and by OpenAI's SDK, and chats that name files by id or by address."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from io import BufferedIOBase
from typing import Any

import httpx
import openai
import pytest

from tests.api.address_server import AddressServer, address_server
from tests.api.conftest import Served
from tests.api.raw import CHAT, body, error_of
from tests.api.test_bad_input import PNG
from tests.api.test_leaving import bare
from tests.api.test_messages import echo
from tests.spec import validate

FILES = "/v1/files"
MIB = 1 << 20


def upload(http: httpx.Client, data: bytes = b"text", name: str = "a.txt", mime: str = "", **fields: str) -> Any:
    response = http.post(FILES, files={"file": (name, data, mime or None)}, data=fields)
    assert response.status_code == 200, response.text
    validate("OpenAIFile", response.json())
    return response.json()


@pytest.fixture(scope="module")
def any_relay() -> Iterator[Served]:
    served = Served(fetch_urls="any")
    yield served
    served.stop()


@pytest.fixture
def server() -> Iterator[AddressServer]:
    with address_server() as made:
        yield made


# OpenAI's SDK


def test_the_sdk(serve: Callable[..., Served]) -> None:
    relay = serve()
    with openai.OpenAI(
        base_url=f"{relay.url}/v1", api_key="none", max_retries=0, _strict_response_validation=True
    ) as client:
        made = client.files.create(file=("näme.pdf", b"%PDF-1.7 text"), purpose="user_data")
        assert (made.bytes, made.filename, made.purpose, made.status) == (13, "näme.pdf", "user_data", "processed")
        other = client.files.create(
            file=b"plain", purpose="vision", expires_after={"anchor": "created_at", "seconds": 3600}
        )
        assert other.expires_at == other.created_at + 3600
        assert client.files.wait_for_processing(made.id) == made
        assert {file.id for file in client.files.list()} == {made.id, other.id}
        assert [file.id for file in client.files.list(limit=1, purpose="vision")] == [other.id]
        assert client.files.content(made.id).read() == b"%PDF-1.7 text"
        answer = client.chat.completions.create(
            model="demo/echo",
            messages=[{"role": "user", "content": [{"type": "file", "file": {"file_id": made.id}}]}],
        )
        assert answer.choices[0].message.content == "user: <file application/pdf näme.pdf 13>\n"
        assert client.files.delete(made.id).deleted
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(made.id)
        assert [file.id for file in client.files.list()] == [other.id]


def test_a_large_file_is_the_same_bytes(http: httpx.Client) -> None:
    data = bytes(range(256)) * (40 * MIB // 256)
    made = upload(http, data, "a.bin")
    assert http.get(f"{FILES}/{made['id']}/content").content == data
    part = http.get(f"{FILES}/{made['id']}/content", headers={"range": "bytes=255-256"})
    assert (part.status_code, part.content) == (206, b"\xff\x00")


# The routes


def test_pages_of_a_list(serve: Callable[..., Served]) -> None:
    with serve().client() as http:
        empty = http.get(FILES).json()
        validate("ListFilesResponse", empty)
        assert empty == {"object": "list", "data": [], "first_id": "", "last_id": "", "has_more": False}
        ids = [upload(http, purpose=purpose)["id"] for purpose in ("vision", "batch", "vision", "vision")]

        def listed(**query: Any) -> tuple[list[str], bool]:
            page = http.get(FILES, params=query).json()
            validate("ListFilesResponse", page)
            found = [file["id"] for file in page["data"]]
            assert (page["first_id"], page["last_id"]) == ((found[0], found[-1]) if found else ("", ""))
            return found, page["has_more"]

        assert listed() == (ids[::-1], False)
        assert listed(order="asc", limit=3) == (ids[:3], True)
        assert listed(order="asc", limit=3, after=ids[2]) == (ids[3:], False)
        assert listed(limit=1, after=ids[3]) == ([ids[2]], True)
        assert listed(purpose="vision", after=ids[3]) == ([ids[2], ids[0]], False)
        assert listed(purpose="assistants") == ([], False)
        for wrong in ({"limit": 0}, {"limit": "x"}, {"order": "up"}, {"after": "file-x"}):
            error_of(http.get(FILES, params=wrong), 400, "invalid_request")


def test_deleting(http: httpx.Client) -> None:
    file = f"{FILES}/{upload(http)['id']}"
    gone = http.delete(file).json()
    validate("DeleteFileResponse", gone)
    for answer in (http.get(file), http.get(f"{file}/content"), http.delete(file)):
        error_of(answer, 404, "file_not_found")


@pytest.mark.parametrize("hostile", ["%2e%2e", "..%2fkeys.json", "%2fetc%2fpasswd", "file-%00", "file-" + "x" * 5000])
def test_hostile_ids(http: httpx.Client, hostile: str) -> None:
    for answer in (
        http.get(f"{FILES}/{hostile}"),
        http.get(f"{FILES}/{hostile}/content"),
        http.delete(f"{FILES}/{hostile}"),
    ):
        assert answer.status_code == 404
        assert set(answer.json()) == {"error"}


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\a\\b.txt", "b.txt"),
        ('a"b\r\nX: y.txt', "a"),
        ("..", "file.txt"),
        ("日本.txt", "日本.txt"),
        ("x" * 3000 + ".txt", "x" * 200),
    ],
)
def test_hostile_names(http: httpx.Client, name: str, kept: str) -> None:
    made = upload(http, b"text", name)
    assert made["filename"].startswith(kept)
    assert not {"\r", "\n", "/", "\\"} & set(made["filename"])
    shown = http.get(f"{FILES}/{made['id']}/content")
    assert shown.content == b"text"
    assert "x" not in shown.headers or shown.headers["x"] != "y.txt"


@pytest.mark.parametrize(
    ("data", "name", "shown"),
    [
        (PNG, "a.html", True),
        (b"%PDF-1.7", "a.pdf", True),
        (b"plain text", "a.txt", True),
        (b"<html><script>alert(1)</script>", "a.html", False),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "a.svg", False),
        (b"alert(1)", "a.js", False),
        (b"<html>", "a.xhtml", False),
        (b"PK\x03\x04", "a.docx", False),
        (bytes(9), "a.png", False),
    ],
)
def test_nothing_runs_in_a_browser(http: httpx.Client, data: bytes, name: str, shown: bool) -> None:
    made = upload(http, data, name, "image/svg+xml")
    headers = http.get(f"{FILES}/{made['id']}/content").headers
    assert headers["content-disposition"].startswith("inline" if shown else "attachment")
    assert headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in headers.get("content-security-policy", "") or name == "a.pdf"
    assert not shown or headers["content-type"].partition(";")[0] in ("image/png", "application/pdf", "text/plain")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"purpose": "poem"}, "purpose"),
        ({"expires_after[seconds]": "3600"}, "expires_after[anchor]"),
        ({"expires_after[anchor]": "last_used", "expires_after[seconds]": "3600"}, "expires_after[anchor]"),
        ({"expires_after[anchor]": "created_at"}, "expires_after[seconds]"),
        ({"expires_after[anchor]": "created_at", "expires_after[seconds]": "5"}, "expires_after[seconds]"),
        ({"expires_after[anchor]": "created_at", "expires_after[seconds]": "9" * 5000}, "expires_after[seconds]"),
        ({"expires_after[anchor]": "created_at", "expires_after[seconds]": "²"}, "expires_after[seconds]"),
    ],
)
def test_wrong_fields_are_named(http: httpx.Client, fields: dict[str, str], param: str) -> None:
    error = error_of(http.post(FILES, files={"file": ("a", b"x")}, data=fields), 400, "invalid_request")
    assert error["param"] == param


def test_bodies_that_are_no_upload(http: httpx.Client) -> None:
    form = {"content-type": "multipart/form-data; boundary=b"}
    for request in (
        {"json": {"file": "x"}},
        {"content": b"", "headers": form},
        {"content": b"--b\r\nnonsense", "headers": form},
        {"content": b"x", "headers": {"content-type": "multipart/form-data"}},
        {"content": b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhalf', "headers": form},
        {"files": {"file": (None, b"no file name")}},
        {"files": {"other": ("a", b"x")}},
        {"files": {"file": ("a", b"")}},
        {"files": [("file", ("a", b"x")), ("file", ("b", b"x"))]},
        {"files": {"file": ("a", b"x")}, "data": {f"f{number}": "x" for number in range(50)}},
    ):
        error_of(http.post(FILES, **request), 400, "invalid_request")
    assert upload(http)


def test_uploads_have_a_limit_of_their_own(serve: Callable[..., Served]) -> None:
    with serve(max_body_mib=1, files={"max_file_mib": 3}).client() as http:
        assert upload(http, bytes(3 * MIB))["bytes"] == 3 * MIB
        error = error_of(http.post(FILES, files={"file": ("a", bytes(3 * MIB + 1))}), 413, "request_too_large")
        assert "RELAY_FILES__MAX_FILE_MIB" in error["message"]
        head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        pieces = iter([head, *[bytes(MIB)] * 5])
        headers = {"content-type": "multipart/form-data; boundary=b"}
        error_of(http.post(FILES, content=pieces, headers=headers), 413, "request_too_large")
        error_of(http.post(CHAT, content=bytes(2 * MIB)), 413, "request_too_large")


def test_a_full_quota(serve: Callable[..., Served]) -> None:
    with serve(files={"quota_mib": 1}).client() as http:
        first = upload(http, bytes(MIB))
        error = error_of(http.post(FILES, files={"file": ("a", b"x")}), 413, "request_too_large")
        assert "DELETE /v1/files/" in error["message"]
        http.delete(f"{FILES}/{first['id']}")
        upload(http)


def test_a_key_sees_its_own_files(serve: Callable[..., Served]) -> None:
    relay = serve(api_keys=["rk-one", "rk-two"])
    with relay.client() as http, relay.owners_client() as owner:
        one, two = {"authorization": "Bearer rk-one"}, {"authorization": "Bearer rk-two"}
        made = http.post(FILES, files={"file": ("a", PNG)}, headers=one).json()
        assert http.get(f"{FILES}/{made['id']}", headers=one).json() == made
        for foreign in (http.get(f"{FILES}/{made['id']}", headers=two), owner.delete(f"{FILES}/{made['id']}")):
            error_of(foreign, 404, "file_not_found")
        assert http.get(FILES, headers=two).json()["data"] == []
        part = {"type": "input_image", "file_id": made["id"]}
        asked = body("demo/echo", messages=[{"role": "user", "content": [part]}])
        assert "<image image/png a 70>" in http.post(CHAT, json=asked, headers=one).text
        error_of(http.post(CHAT, json=asked, headers=two), 400, "invalid_request")
        for path in (FILES, f"{FILES}/{made['id']}", f"{FILES}/{made['id']}/content"):
            error_of(http.get(path), 401, "invalid_api_key")
        error_of(http.post(FILES, files={"file": ("a", b"x")}), 401, "invalid_api_key")


# Chats


@pytest.mark.parametrize(
    "part",
    [
        {"type": "file", "file": {"file_id": "{}"}},
        {"type": "input_file", "file_id": "{}"},
        {"type": "input_image", "file_id": "{}"},
        {"type": "image_url", "file_id": "{}"},
    ],
)
def test_chats_with_stored_files(http: httpx.Client, part: dict[str, Any]) -> None:
    made = upload(http, PNG, "cat.jpg", "image/jpeg")
    part = {name: {"file_id": made["id"]} if name == "file" else value for name, value in part.items()}
    part = {name: made["id"] if name == "file_id" else value for name, value in part.items()}
    assert echo(http, [{"role": "user", "content": [part]}]) == f"user: <image image/png cat.jpg {len(PNG)}>\n"


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "file", "file": {"file_id": "file-gone"}}, "file"),
        ({"type": "input_image", "file_id": "../keys.json"}, "image_url"),
    ],
)
def test_chats_with_files_that_are_not_there(http: httpx.Client, part: dict[str, Any], param: str) -> None:
    response = http.post(CHAT, json=body("demo/echo", messages=[{"role": "user", "content": [part]}]))
    error = error_of(response, 400, "invalid_request")
    assert error["param"] == f"messages[0].content[0].{param}"
    assert "There is no file" in error["message"]


def test_chats_with_files_by_address(any_relay: Served, server: AddressServer) -> None:
    picture = server.put("/cat", PNG, "Content-Type: image/jpeg", 'Content-Disposition: inline; filename="../cat.png"')
    text = server.put("/a/notes.md", "# hällo".encode(), "Content-Type: text/markdown; charset=utf-8")
    with any_relay.client() as http:
        said = echo(
            http,
            [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": picture}}]},
                {"role": "assistant", "content": "a cat"},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "and these"},
                        {"type": "input_image", "image_url": picture},
                        {"type": "file", "file_url": {"url": text}},
                        {"type": "input_file", "file_url": text, "filename": "other.txt"},
                    ],
                },
            ],
        )
    cat = f"<image image/png cat.png {len(PNG)}>"
    texts = "<file text/markdown notes.md 8><file text/plain other.txt 8>"
    assert said == f"user: {cat}\nassistant: a cat\nuser: and these{cat}{texts}\n"
    assert [path for path, _ in server.asked].count("/cat") == 1, "the same picture is fetched once"


def test_a_page_in_place_of_a_picture(any_relay: Served, server: AddressServer) -> None:
    url = server.put("/cat.png", b"<!doctype html><html>Log in first", "Content-Type: text/html")
    part = {"type": "image_url", "image_url": {"url": url}}
    with any_relay.client() as http:
        response = http.post(CHAT, json=body(messages=[{"role": "user", "content": [part]}]))
    error = error_of(response, 400, "invalid_request")
    assert "web page" in error["message"] and error["param"] == "messages[0].content[0].image_url"


def test_all_files_or_none(any_relay: Served, server: AddressServer) -> None:
    """One that fails ends the others, however slow they are."""

    def stuck(out: BufferedIOBase) -> None:
        out.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not server.left.wait(0.01):
            out.write(b"x")

    server.answers["/stuck"] = stuck
    urls = [f"{server.url}/stuck?{number}" for number in range(3)] + [server.put("/gone", b"", status="404 Not Found")]
    parts = [{"type": "file", "file_url": url} for url in (*urls, *(f"{server.url}/more?{n}" for n in range(9)))]
    before = len(any_relay.pool.chats)
    with any_relay.client() as http:
        response = http.post(CHAT, json=body(messages=[{"role": "user", "content": parts}]))
    assert "HTTP 404" in error_of(response, 400, "invalid_request")["message"]
    assert len(any_relay.pool.chats) == before
    assert server.left.wait(10)


def test_four_at_a_time(any_relay: Served, server: AddressServer) -> None:
    at_once: list[int] = []
    running: list[None] = []
    four = threading.Barrier(4)

    def counted(out: BufferedIOBase) -> None:
        running.append(None)
        four.wait(10)
        at_once.append(len(running))
        four.wait(10)
        running.pop()
        out.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")

    server.answers["/a"] = counted
    parts = [{"type": "file", "file_url": f"{server.url}/a?{number}"} for number in range(8)]
    with any_relay.client() as http:
        assert echo(http, [{"role": "user", "content": parts}]).count("<file") == 8
    assert at_once == [4] * 8


def test_leaving_while_a_file_is_fetched(any_relay: Served, server: AddressServer) -> None:
    asked = threading.Event()

    def stuck(out: BufferedIOBase) -> None:
        asked.set()
        out.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not server.left.wait(0.01):
            out.write(b"x")

    server.answers["/stuck"] = stuck
    part = {"type": "file", "file_url": f"{server.url}/stuck"}
    before = len(any_relay.pool.chats)
    connection = bare(any_relay, body(messages=[{"role": "user", "content": [part]}]))
    assert asked.wait(10)
    connection.close()
    assert server.left.wait(10), "the fetch is ended"
    assert len(any_relay.pool.chats) == before


@pytest.mark.parametrize("fetch_urls", ["public", "none"])
def test_addresses_of_our_own_network(serve: Callable[..., Served], server: AddressServer, fetch_urls: str) -> None:
    part = {"type": "image_url", "image_url": {"url": server.put("/a.png", PNG)}}
    with serve(fetch_urls=fetch_urls).client() as http:
        response = http.post(CHAT, json=body(messages=[{"role": "user", "content": [part]}]))
    assert f"RELAY_FETCH_URLS={fetch_urls}" in error_of(response, 400, "invalid_request")["message"]
    assert server.asked == []
