"""Files (fact sheet section 7): uploaded with a proof, polled until they are read, then named in a prompt."""

from __future__ import annotations

import re

from tests.replicas.deepseek.entry import signed_in
from tests.replicas.deepseek.proofs import UPLOAD, Proofs
from tests.replicas.deepseek.requests import POW, UNFIT, ChatRequest, check_headers, envelope, outer_error, refusal
from tests.replicas.deepseek.sessions import Store
from tests.replicas.exchange import Exchange, Refused
from tests.replicas.site import Route

MAX_IMAGE_BYTES = 8 << 20


class Uploads:
    """The routes of files."""

    def __init__(self, store: Store, proofs: Proofs) -> None:
        self._store, self._proofs = store, proofs
        self.routes = [
            Route("POST", UPLOAD, "upload", self._upload),
            Route("GET", "/api/v0/file/fetch_files", "parse", self._fetch),
            Route("GET", "/file", "download", self._preview),
        ]

    async def _upload(self, exchange: Exchange, match: re.Match[str]) -> None:
        user = signed_in(exchange)
        files = await exchange.files()
        if [upload.field for upload, _ in files] != ["file"]:
            raise Refused(400, "not one file in the field 'file'", outer_error(UNFIT, "no file"))
        upload, data = files[0]
        expected = {"x-model-type": "default|vision", "x-file-size": str(len(data)), "x-thinking-enabled": "[01]"}
        check_headers(exchange, expected)
        if why := self._proofs.objection(exchange.header("x-ds-pow-response"), user, UPLOAD):
            raise Refused(200, why, outer_error(POW, "INVALID_POW_RESPONSE"))
        kind = exchange.header("x-model-type")
        if upload.content_type.startswith("image/") != (kind == "vision"):
            raise refusal(UNFIT, "文件类型不支持", f"{upload.content_type} with x-model-type {kind}")
        if kind == "vision" and len(data) > MAX_IMAGE_BYTES:
            raise refusal(UNFIT, "图片过大", f"an image of {len(data)} bytes")
        await exchange.json(envelope(self._store.add_file(user, upload, kind, data).wire()))

    async def _fetch(self, exchange: Exchange, match: re.Match[str]) -> None:
        user, found = signed_in(exchange), []
        for file_id in exchange.request.query_params.get("file_ids", "").split(","):
            file = self._store.file(user, file_id)
            if file is None:
                raise refusal(UNFIT, "文件不存在", f"no such file {file_id!r}")
            file.polls += 1
            if file.polls <= exchange.scenario.busy_polls:
                file.status = "PARSING"
            elif exchange.scenario.options.get("file_fails"):
                file.status = "FAILED"
            else:
                file.status = "SUCCESS"
                file.audit_result = "REJECT" if exchange.scenario.options.get("file_rejected") else "PASS"
            found.append(file.wire())
        await exchange.json(envelope({"files": found}))

    async def _preview(self, exchange: Exchange, match: re.Match[str]) -> None:
        query = exchange.request.query_params
        file = self._store.files.get(query.get("file_id", ""))
        if file is None or query.get("state") != file.state:
            raise Refused(403, "no such file, or a wrong state", outer_error(UNFIT, "forbidden"))
        await exchange.reply(file.data, file.upload.content_type)


def misfit(store: Store, user: str, request: ChatRequest, earlier: list[str]) -> str | None:
    """Why the files of a prompt do not pass with it, or None; ``earlier`` came with the prompts before it."""
    files = [store.file(user, file_id) for file_id in request.ref_file_ids]
    for file_id, file in zip(request.ref_file_ids, files, strict=True):
        if file is None or not file.usable:
            return f"file {file_id} is unknown, unread or rejected"
        if file.image and request.model_type != "vision":
            return f"{file_id} is a picture: model_type {request.model_type} does not see"
    seen = [*files, *(store.file(user, file_id) for file_id in earlier)]
    if request.model_type == "vision" and not any(file and file.image for file in seen):
        return "model_type vision without a picture"
    return None
