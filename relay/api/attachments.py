"""Files of a request body, known by their bytes, not by what is claimed.

Data URLs and base64 are decoded at once; what stands elsewhere (an address, the file store) is `Pending`, until
`gathering` has brought it.
"""

from __future__ import annotations

import base64
import binascii
import mimetypes
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote_to_bytes

from relay.chat.request import Attachment
from relay.errors import BadRequest, TooLarge

MAX_FILE_BYTES = 100 * 1024 * 1024
Kind = Literal["image", "audio", "video", "file"]

_DATA_URL = re.compile(r"data:([^,;]*)((?:;[^,;]*)*),", re.IGNORECASE)
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
"""Of any scheme: `fetching` says which are fetched. No base64 begins so."""
_MIME = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*")
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (0, b"BM", "image/bmp"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftyp", "video/mp4"),
    (0, b"%PDF-", "application/pdf"),
    (8, b"WAVE", "audio/wav"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"OggS", "audio/ogg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"\xd0\xcf\x11\xe0", "application/x-ole-storage"),
)
_CONTAINERS = ("application/zip", "application/x-ole-storage")
"""Office documents are these inside: there the name knows more than the bytes."""


@dataclass(frozen=True, repr=False)
class Pending(Attachment):
    """A file that is still to be brought: from an `address`, or by its `file_id`. `name` and `mime` are claims."""

    address: str = ""
    file_id: str = ""
    param: str = ""
    """Where in the body it stands."""

    def __repr__(self) -> str:
        return f"<Pending {'address' if self.address else self.file_id} at {self.param}>"


def from_source(source: str, *, param: str, name: str = "", mime: str = "") -> Attachment:
    """An attachment from a data URL or bare base64; from an http(s) address one to be brought.

    `name` and `mime` are what the client says; the bytes are believed before them. Raises BadRequest, TooLarge.
    """
    source = source.lstrip()
    match = _DATA_URL.match(source)
    if match is None and source[:5].lower() == "data:":
        raise BadRequest(f"{param}: not a data URL; write data:<type>;base64,<bytes>.", param=param)
    if match is None and _ADDRESS.match(source):
        return Pending(name, mime, b"", address=source, param=param)
    if match is None:
        data = _unbase64(source, param)
    else:
        mime = match[1] or mime
        payload = source[match.end() :]
        encoded = ";base64" in match[2].lower()
        data = _unbase64(payload, param) if encoded else unquote_to_bytes(payload.encode("utf-8", "replace"))
    return from_bytes(data, param=param, name=name, mime=mime)


def from_bytes(data: bytes, *, param: str, name: str = "", mime: str = "") -> Attachment:
    """An attachment of these bytes. Raises BadRequest where there are none, TooLarge."""
    if not data:
        raise BadRequest(f"{param}: the file is empty.", param=param)
    if len(data) > MAX_FILE_BYTES:
        raise TooLarge(f"{param}: the file is larger than {MAX_FILE_BYTES >> 20} MiB.", param=param)
    found = sniff(data, name=name, claimed=mime)
    return Attachment(name=file_name(name, found), mime=found, data=data, kind=kind_of(found))


def sniff(data: bytes, *, name: str = "", claimed: str = "") -> str:
    """The media type of `data`: by its first bytes, else by name or claim where those can be true."""
    told = mimetypes.guess_type(name)[0] or ""
    claimed = claimed.partition(";")[0].strip().lower()
    said = told or (claimed if _MIME.fullmatch(claimed) else "")
    for offset, magic, mime in _MAGIC:
        if data.startswith(magic, offset):
            return said if mime in _CONTAINERS and said.startswith("application/") else mime
    head = data[:4096]
    if b"\0" not in head:
        binary = said.startswith(("image/", "audio/", "video/")) and said != "image/svg+xml"
        return said if said and not binary and said != "application/octet-stream" else "text/plain"
    # Its bytes are of no image or sound that is known: it is not one because somebody says so.
    return said if said.startswith("application/") else "application/octet-stream"


def kind_of(mime: str) -> Kind:
    """What a site would call the file. SVG is text to most of them."""
    family = mime.partition("/")[0]
    if mime != "image/svg+xml":
        if family == "image":
            return "image"
        if family == "audio":
            return "audio"
        if family == "video":
            return "video"
    return "file"


def _unbase64(text: str, param: str) -> bytes:
    compact = "".join(text.split())
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest(f"{param}: not valid base64.", param=param) from None


def file_name(name: str, mime: str) -> str:
    """The client's name without its folders, else one made from the type."""
    base = re.split(r"[/\\]", name)[-1]
    base = "".join(character for character in base if character.isprintable()).strip()[:200]
    return base if base.strip(". ") else f"file{mimetypes.guess_extension(mime) or '.bin'}"
