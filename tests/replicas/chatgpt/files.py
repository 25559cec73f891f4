"""Files in and pictures out (fact sheet sections 7 and 10). The bytes live on another host than the API."""

from __future__ import annotations

import re

from tests.replicas.chatgpt.chats import Store, StoredFile
from tests.replicas.chatgpt.door import PRIVATE, caller
from tests.replicas.chatgpt.requests import ChatRequest, Empty, FileRequest, error, parsed, problem
from tests.replicas.chatgpt.tokens import HOME
from tests.replicas.exchange import Exchange, Refused
from tests.replicas.site import Route

HOST = "files.oaiusercontent.com"
BLOB = r"/(?P<id>file-[0-9a-f]{22})"
ID = r"(?P<id>file-\w+)"
CORS = {
    "access-control-allow-origin": HOME,
    "access-control-allow-methods": "GET, PUT, OPTIONS",
    "access-control-allow-headers": "content-type, x-ms-blob-type, x-ms-version",
}


class Files:
    """The routes about files."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.routes = [
            Route("POST", f"{PRIVATE}/files", "upload", self._announce),
            Route("POST", f"{PRIVATE}/files/{ID}/uploaded", "uploaded", self._uploaded),
            Route("GET", f"{PRIVATE}/files/{ID}/download", "download", self._address),
            Route("GET", f"{PRIVATE}/files/download/{ID}", "download", self._address),
            Route(
                "GET", rf"{PRIVATE}/conversation/[0-9a-f-]{{36}}/attachment/{ID}/download", "download", self._address
            ),
            Route("PUT", BLOB, "blob", self._put),
            Route("GET", BLOB, "blob", self._get),
            Route("OPTIONS", BLOB, "preflight", self._preflight),
        ]

    async def _announce(self, exchange: Exchange, match: re.Match[str]) -> None:
        user, request = caller(exchange, match), parsed(FileRequest, exchange)
        if request.use_case == "multimodal" and not (request.width and request.height):
            raise Refused(422, "a picture without width and height", problem("width", "needed for multimodal"))
        file = self.store.new_file(user, request.file_name, request.file_size)
        await exchange.json({"status": "success", "file_id": file.id, "upload_url": file.url})

    async def _uploaded(self, exchange: Exchange, match: re.Match[str]) -> None:
        file = self._own(exchange, match)
        parsed(Empty, exchange)
        if not file.data:
            raise Refused(400, "no bytes were sent", error("file_not_uploaded", "upload the file first"))
        file.uploaded = True
        await exchange.json({"status": "success", "download_url": file.url})

    async def _address(self, exchange: Exchange, match: re.Match[str]) -> None:
        file = self._own(exchange, match)
        await exchange.json({"status": "success", "download_url": file.url, "file_name": file.name})

    def _own(self, exchange: Exchange, match: re.Match[str]) -> StoredFile:
        file = self.store.file(caller(exchange, match), match["id"])
        if file is None:
            raise Refused(404, f"no file {match['id']}", error("file_not_found", "file not found"))
        return file

    # The other host: addresses are signed, nobody logs in.

    def _blob(self, exchange: Exchange, match: re.Match[str]) -> StoredFile:
        file = self.store.files.get(match["id"])
        if file is None or exchange.request.query_params.get("sig") != file.signature:
            raise Refused(403, "bad signature", headers=CORS)
        return file

    async def _preflight(self, exchange: Exchange, match: re.Match[str]) -> None:
        await exchange.reply(b"", "text/plain", 204, CORS)

    async def _put(self, exchange: Exchange, match: re.Match[str]) -> None:
        file = self._blob(exchange, match)
        for name, value in {"x-ms-blob-type": "BlockBlob", "x-ms-version": "2020-04-08"}.items():
            if exchange.header(name) != value:
                raise Refused(400, f"{name}: {exchange.header(name)!r}", headers=CORS)
        if len(exchange.body) != file.size:
            raise Refused(400, f"{len(exchange.body)} bytes, announced were {file.size}", headers=CORS)
        file.data = exchange.body
        file.content_type = exchange.header("content-type") or file.content_type
        await exchange.reply(b"", "text/plain", 201, CORS)

    async def _get(self, exchange: Exchange, match: re.Match[str]) -> None:
        file = self._blob(exchange, match)
        await exchange.reply(file.data, file.content_type, headers=CORS)


def attached(store: Store, user: str, request: ChatRequest) -> list[StoredFile]:
    """The files that a prompt brings, each once. Raises Refused (422) for what is unknown, unsent or misdescribed."""
    found: dict[str, StoredFile] = {}

    def take(id_: str, size: int, name: str | None = None) -> None:
        file = store.file(user, id_)
        if file is None or not file.uploaded:
            raise Refused(422, f"file {id_} is unknown or not uploaded", problem("messages", "unknown file"))
        if size != file.size or name not in (None, file.name):
            raise Refused(422, f"file {id_} has another name or size", problem("messages", "file does not match"))
        found[id_] = file

    for message in request.messages:
        for one in message.metadata.attachments:
            take(one.id, one.size, one.name)
        for image in message.content.images:
            take(image.file, image.size_bytes)
    return list(found.values())
