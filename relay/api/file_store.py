"""Files that callers have stored: `$RELAY_HOME/files/<caller>/<id>`, each with what is known of it in `<id>.json`.

A file is there once its `.json` is, which is written last and removed first: a write or a removal that was killed
leaves bytes that nothing names, and the next start sweeps those. One server process has a home (`pool/locks.py`), so
what it knows of the folder holds.
"""

from __future__ import annotations

import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

from loguru import logger
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from relay.api.attachments import file_name, sniff
from relay.errors import BadRequest, FileNotFound, TooLarge
from relay.private import private_folder, read_private, remove_leftovers, write_private
from relay.settings import Settings

FOLDER = "files"
OUTPUT = "assistants_output"
"""The purpose of files that an answer brought, as OpenAI names it. Who knows such a file's id may see it: a page that
shows an answer asks for its pictures without a key."""
LEAST_BYTES = 4096
"""What a file counts at least, as on disk: so the quota bounds their number too."""
_ID = re.compile(r"file-[A-Za-z0-9_-]{24}")
_CALLER = re.compile(r"[a-z0-9-]{1,64}")
_HEAD_BYTES = 4096
_PIECE_BYTES = 1024 * 1024
_MAX_RECORD_BYTES = 64 * 1024


class StoredFile(BaseModel):
    """What is known of a stored file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: str
    caller: str
    filename: str
    purpose: str
    mime: str
    """Sniffed from its bytes."""
    size_bytes: Annotated[int, Field(ge=0)]
    created: Annotated[float, Field(ge=0)]
    """Unix seconds."""
    expires: Annotated[float, Field(ge=0)]
    """Unix seconds."""


class FileStore:
    """The stored files of all callers. Its calls read and write the disk: await them in a thread."""

    def __init__(self, settings: Settings, *, now: Callable[[], float] = time.time) -> None:
        self.folder = settings.home / FOLDER
        self._quota_bytes = settings.files.quota_mib << 20
        self._most_bytes = settings.files.max_file_mib << 20
        self._keep_s = settings.files.keep_s
        self._now = now
        self._lock = threading.Lock()
        self._files: dict[str, dict[str, StoredFile]] = {}
        self._used_bytes = 0
        """Also of files that are being written."""
        if self.folder.is_dir():
            self._load()

    def __repr__(self) -> str:
        return f"<FileStore {self.folder} {self._used_bytes >> 20} of {self._quota_bytes >> 20} MiB>"

    def add(
        self, caller: str, source: IO[bytes], *, filename: str, mime: str, purpose: str, keep_s: float | None = None
    ) -> StoredFile:
        """Store what can be read from `source`. `keep_s` shortens the time it is kept. Raises BadRequest, TooLarge."""
        size = source.seek(0, os.SEEK_END)
        source.seek(0)
        if size == 0:
            raise BadRequest("file: the file is empty.", param="file")
        if size > self._most_bytes:
            raise TooLarge(
                f"file: the file is larger than {self._most_bytes >> 20} MiB (RELAY_FILES__MAX_FILE_MIB).", param="file"
            )
        self.sweep()
        head = source.read(_HEAD_BYTES)
        source.seek(0)
        found = sniff(head, name=filename, claimed=mime)
        created = self._now()
        stored = StoredFile(
            id=f"file-{secrets.token_urlsafe(18)}",
            caller=caller,
            filename=file_name(filename, found),
            purpose=purpose,
            mime=found,
            size_bytes=size,
            created=created,
            expires=created + min(keep_s or self._keep_s, self._keep_s),
        )
        with self._room(size):
            self._write(stored, source)
            with self._lock:
                self._files.setdefault(caller, {})[stored.id] = stored
        return stored

    def all_of(self, caller: str) -> list[StoredFile]:
        """The caller's files, the oldest first."""
        self.sweep()
        with self._lock:
            return sorted(self._files.get(caller, {}).values(), key=lambda file: (file.created, file.id))

    def get(self, caller: str, file_id: str) -> StoredFile:
        """What is known of a file. Raises FileNotFound where the caller has none of that id."""
        with self._lock:
            file = self._files.get(caller, {}).get(file_id)
        if file is None or file.expires <= self._now():
            raise FileNotFound(f"There is no file {file_id[:100]!r}: it was deleted, has expired, or is another key's.")
        return file

    def of_an_answer(self, file_id: str) -> StoredFile | None:
        """A file that an answer linked to, whosever it is: its id is the key to it."""
        with self._lock:
            found = next((own[file_id] for own in self._files.values() if file_id in own), None)
        if found is None or found.purpose != OUTPUT or found.expires <= self._now():
            return None
        return found

    def path(self, file: StoredFile) -> Path:
        """Where a file's bytes are."""
        return self.folder / file.caller / file.id

    def read(self, file: StoredFile) -> bytes:
        """A file's bytes. Raises FileNotFound."""
        try:
            return self.path(file).read_bytes()
        except FileNotFoundError:  # deleted since
            raise FileNotFound(f"There is no file {file.id!r} any more.") from None

    def delete(self, caller: str, file_id: str) -> None:
        """Remove a file. Raises FileNotFound."""
        self._remove([self.get(caller, file_id)])

    def sweep(self) -> None:
        """Remove what has expired."""
        now = self._now()
        with self._lock:
            expired = [file for own in self._files.values() for file in own.values() if file.expires <= now]
        self._remove(expired)

    @contextmanager
    def _room(self, size: int) -> Iterator[None]:
        """Space for a file, given back where it is not stored after all. Raises TooLarge where the quota is full."""
        with self._lock:
            left = self._quota_bytes - self._used_bytes
            if _cost(size) > left:
                left_mib = max(0, left) / (1 << 20)
                raise TooLarge(
                    f"file: of the {self._quota_bytes >> 20} MiB for stored files {left_mib:.1f} are left. "
                    "Delete some (DELETE /v1/files/{id}; GET /v1/files lists yours), or raise RELAY_FILES__QUOTA_MIB.",
                    param="file",
                )
            self._used_bytes += _cost(size)
        try:
            yield
        except BaseException:
            with self._lock:
                self._used_bytes -= _cost(size)
            raise

    def _write(self, file: StoredFile, source: IO[bytes]) -> None:
        path = self.path(file)
        for folder in (self.folder, path.parent):
            private_folder(folder)
        try:
            with open(path, "xb", opener=_private) as out:
                while piece := source.read(_PIECE_BYTES):
                    out.write(piece)
                out.flush()
                os.fsync(out.fileno())
            write_private(_record(path), file.model_dump_json())
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _remove(self, files: Iterable[StoredFile]) -> None:
        for file in files:
            with self._lock:
                if self._files[file.caller].pop(file.id, None) is None:
                    continue  # another thread was faster
                self._used_bytes -= _cost(file.size_bytes)
            path = self.path(file)
            _record(path).unlink(missing_ok=True)
            path.unlink(missing_ok=True)

    def _load(self) -> None:
        """Read what is known, and sweep what killed writes and removals left. Raises BadRequest."""
        try:
            for folder in [path for path in self.folder.iterdir() if _CALLER.fullmatch(path.name) and path.is_dir()]:
                remove_leftovers(folder)
                found = [_loaded(path) for path in folder.iterdir() if _ID.fullmatch(path.name)]
                self._files[folder.name] = {file.id: file for file in found if file is not None}
        except OSError as error:
            raise BadRequest(f"{self.folder} cannot be read: {error.strerror or error}.") from None
        self._used_bytes = sum(_cost(file.size_bytes) for own in self._files.values() for file in own.values())
        self.sweep()


def _loaded(path: Path) -> StoredFile | None:
    """What is known of the file at `path`, None where it is no whole one; bytes that nothing names are removed."""
    try:
        raw = read_private(_record(path), _MAX_RECORD_BYTES)
        if raw is None:
            path.unlink()
            return None
        file = StoredFile.model_validate_json(raw)
        if (file.caller, file.id) == (path.parent.name, path.name) and file.size_bytes == path.stat().st_size:
            return file
    except (BadRequest, ValidationError, OSError) as error:
        logger.opt(exception=error).debug("{}", path)
    logger.warning("{} or its record is damaged: it is not served, and stays for you to look at", path)
    return None


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


def _cost(size: int) -> int:
    return max(size, LEAST_BYTES)
