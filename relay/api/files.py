"""`/v1/files`: OpenAI's Files API over the server's own disk. A key sees its own files only."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, Query, Request
from starlette.datastructures import FormData, UploadFile
from starlette.responses import FileResponse, Response

from relay.api import auth
from relay.api.file_store import FileStore, StoredFile
from relay.errors import BadRequest

Purpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data"]
PURPOSES: tuple[str, ...] = get_args(Purpose)
LEAST_EXPIRY_S, MOST_EXPIRY_S = 3600, 2_592_000
"""OpenAI's bounds of `expires_after[seconds]`."""
MAX_LISTED = 10_000
_MAX_FIELDS = 20
_SHOWN = ("image/", "audio/", "video/")
_SHOWN_TOO = ("application/pdf", "text/plain")

router = APIRouter()

_DOCUMENTED: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"type": "string", "enum": list(PURPOSES)},
                        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
                        "expires_after[seconds]": {
                            "type": "integer",
                            "minimum": LEAST_EXPIRY_S,
                            "maximum": MOST_EXPIRY_S,
                        },
                    },
                }
            }
        },
    }
}


@router.post("/files", openapi_extra=_DOCUMENTED)
async def create(request: Request, caller: auth.Caller) -> dict[str, Any]:
    """Store a file."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise BadRequest("Send the file as multipart/form-data, in a field named file.", param="file")
    # Larger files lie on disk, not in memory, while they come; that copy has no name, and goes with this process.
    async with request.form(max_files=1, max_fields=_MAX_FIELDS) as form:
        upload = form.get("file")
        if not isinstance(upload, UploadFile):
            raise BadRequest("file: no file in it; the field needs a filename.", param="file")
        stored = await asyncio.to_thread(
            _store(request).add,
            caller,
            upload.file,
            filename=upload.filename or "",
            mime=upload.content_type or "",
            purpose=_purpose(form),
            keep_s=_keep_s(form),
        )
    return described(stored)


@router.get("/files")
async def listed(
    request: Request,
    caller: auth.Caller,
    purpose: str | None = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = MAX_LISTED,
    order: Literal["asc", "desc"] = "desc",
    after: str | None = None,
) -> dict[str, Any]:
    """The caller's files, the newest first."""
    files = await asyncio.to_thread(_store(request).all_of, caller)
    return page(files, purpose=purpose, limit=limit, order=order, after=after)


@router.get("/files/{file_id}")
async def retrieve(request: Request, caller: auth.Caller, file_id: str) -> dict[str, Any]:
    """What is known of a file."""
    return described(_store(request).get(caller, file_id))


@router.delete("/files/{file_id}")
async def delete(request: Request, caller: auth.Caller, file_id: str) -> dict[str, Any]:
    """Delete a file."""
    await asyncio.to_thread(_store(request).delete, caller, file_id)
    return {"id": file_id, "object": "file", "deleted": True}


@router.get("/files/{file_id}/content", response_class=Response)
async def content(request: Request, file_id: str) -> Response:
    """A file's bytes; of one that an answer linked to, without a key.

    What a browser could run as a page of ours is only ever saved, not shown.
    """
    store = _store(request)
    file = store.of_an_answer(file_id) or store.get((await auth.require_holder(request)).id, file_id)
    headers = {"x-content-type-options": "nosniff", "cache-control": "private"}
    if file.mime != "application/pdf":  # browsers' readers of PDF do not run in a sandbox; PDF knows nothing of origins
        headers["content-security-policy"] = "sandbox; default-src 'none'"
    return FileResponse(
        store.path(file),
        headers=headers,
        media_type=file.mime,
        filename=file.filename,
        content_disposition_type="inline" if is_shown(file.mime) else "attachment",
    )


def described(file: StoredFile) -> dict[str, Any]:
    """A file as OpenAI has it."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size_bytes,
        "created_at": int(file.created),
        "expires_at": int(file.expires),
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
    }


def page(files: list[StoredFile], *, purpose: str | None, limit: int, order: str, after: str | None) -> dict[str, Any]:
    """One page of a list that has the oldest first. Raises BadRequest where `after` is none of them."""
    ordered = files if order == "asc" else files[::-1]
    if after:
        place = next((index for index, file in enumerate(ordered) if file.id == after), None)
        if place is None:
            raise BadRequest("after: there is no such file; begin without it.", param="after")
        ordered = ordered[place + 1 :]
    if purpose:
        ordered = [file for file in ordered if file.purpose == purpose]
    data = [described(file) for file in ordered[:limit]]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else "",
        "last_id": data[-1]["id"] if data else "",
        "has_more": len(ordered) > limit,
    }


def is_shown(mime: str) -> bool:
    """Whether a browser may show it in place: nothing in it runs. SVG is a document with scripts."""
    return mime != "image/svg+xml" and (mime.startswith(_SHOWN) or mime in _SHOWN_TOO)


def _store(request: Request) -> FileStore:
    store: FileStore = request.app.state.files
    return store


def _purpose(form: FormData) -> str:
    purpose = form.get("purpose") or "user_data"
    if purpose not in PURPOSES:
        raise BadRequest(f"purpose: one of {', '.join(PURPOSES)} is needed.", param="purpose")
    return str(purpose)


def _keep_s(form: FormData) -> int | None:
    """The seconds of `expires_after`, None where it is not given."""
    anchor, seconds = form.get("expires_after[anchor]"), form.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise BadRequest("expires_after[anchor]: created_at is needed.", param="expires_after[anchor]")
    said = str(seconds)
    if not (said.isascii() and said.isdigit() and len(said) < 10 and LEAST_EXPIRY_S <= int(said) <= MOST_EXPIRY_S):
        raise BadRequest(
            f"expires_after[seconds]: a number from {LEAST_EXPIRY_S} to {MOST_EXPIRY_S} is needed.",
            param="expires_after[seconds]",
        )
    return int(said)
