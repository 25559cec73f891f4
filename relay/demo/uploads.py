"""Uploaded files: one `multipart/form-data` part in, an `Attachment` out. The bytes are hashed and dropped.

The parser is our own (RFC 7578, as browsers and HTTP clients write it) so that the site needs no further package.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from email.message import Message
from urllib.parse import unquote

from relay.demo.model import Attachment

_FIRST_LINE_CHARS = 200
_PARAMETER = re.compile(r';\s*(name|filename\*?)=(?:"((?:[^"\\]|\\.)*)"|([^;\s]+))', re.IGNORECASE)


class BadUpload(Exception):
    """The body is not a form with a file in it; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a form that has a file name."""

    filename: str
    mime: str
    content: bytes


def file_part(content_type: str, body: bytes) -> Part:
    """The first part with a file name. Raises BadUpload."""
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_param("boundary")
    if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str) or not boundary:
        raise BadUpload("Send the file as multipart/form-data with a boundary.")
    delimiter = b"\r\n--" + boundary.encode()
    for section in (b"\r\n" + body).split(delimiter)[1:]:
        if section.startswith(b"--"):
            break
        head, blank, content = section.partition(b"\r\n\r\n")
        part = _named_part(head.decode("utf-8", "replace"), content) if blank else None
        if part is not None:
            return part
    raise BadUpload("The form has no part with a file name.")


def _named_part(head: str, content: bytes) -> Part | None:
    headers: dict[str, str] = {}
    for line in head.split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    disposition = headers.get("content-disposition", "")
    parameters = {m[1].lower(): m[2] if m[2] is not None else m[3] for m in _PARAMETER.finditer(disposition)}
    if "filename*" in parameters:  # RFC 5987: utf-8''percent-encoded
        filename = unquote(parameters["filename*"].rpartition("'")[2])
    elif "filename" in parameters:
        # Browsers percent-encode only the quote and line ends; other clients use a backslash.
        filename = re.sub(r"\\(.)", r"\1", parameters["filename"])
        filename = filename.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")
    else:
        return None
    return Part(filename, headers.get("content-type", "application/octet-stream"), content)


class Uploads:
    """The files that were uploaded, by user; the oldest are forgotten beyond `limit`."""

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._files: dict[tuple[str, str], Attachment] = {}

    def __repr__(self) -> str:
        return f"<Uploads files={len(self._files)}>"

    def keep(self, user: str, part: Part) -> Attachment:
        """Describe the file and give it an id."""
        attachment = Attachment(
            id=f"file-{secrets.token_hex(8)}",
            name=part.filename,
            size=len(part.content),
            sha256=hashlib.sha256(part.content).hexdigest(),
            mime=part.mime,
            first_line=_first_line(part.content),
        )
        self._files[user, attachment.id] = attachment
        if len(self._files) > self._limit:
            del self._files[next(iter(self._files))]
        return attachment

    def find(self, user: str, file_id: str) -> Attachment | None:
        """The user's own file, or None."""
        return self._files.get((user, file_id))


def _first_line(content: bytes) -> str:
    """The first line that is not empty, where the file is UTF-8 text; else nothing."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return ""
    if "\0" in text:
        return ""
    lines = (line.strip() for line in text.splitlines())
    return next((line[:_FIRST_LINE_CHARS] for line in lines if line), "")
