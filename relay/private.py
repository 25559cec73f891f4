"""Files that only their owner may read: whole or not at all, mode 0600, in folders of mode 0700."""

from __future__ import annotations

import errno
import os
import re
import stat
import tempfile
import threading
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from relay.errors import BadRequest

TEMPORARY = re.compile(r"\.(?P<file>.+)\.[a-z0-9_]{8}\.tmp")
"""What a write that was killed leaves behind."""

_writing = threading.Lock()


def read_private(file: Path, most_bytes: int) -> bytes | None:
    """A whole file, or None where there is none. Raises BadRequest when it cannot be read."""
    try:
        found = file.stat()
        if not stat.S_ISREG(found.st_mode):
            raise BadRequest(f"{file} is not a file.")
        if found.st_size > most_bytes:
            raise BadRequest(f"{file} has {found.st_size} bytes; at most {most_bytes} are read.")
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadRequest(f"{file} cannot be read: {error.strerror or error}.") from None


def private_folder(folder: Path) -> None:
    """Make a folder, or take one, so that only its owner may enter it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        with suppress(PermissionError):  # another user's, who lets us in: it stays as its owner left it
            folder.chmod(0o700)


def write_private(file: Path, content: str | bytes) -> None:
    """Replace a file atomically, mode 0600; it is on disk afterwards. Raises OSError, and the file is as it was."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    with _writing:  # so that what is swept is no write of another thread
        remove_leftovers(file.parent, {file.name, file.name.removesuffix(".enc")})
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            Path(name).replace(file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _sync_folder(file.parent)


def _sync_folder(folder: Path) -> None:
    """Put a rename on disk, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems know no sync of a folder
            raise
    finally:
        os.close(handle)


def leftovers(folder: Path, files: Collection[str] | None = None) -> list[Path]:
    """What killed writes left in a folder, of these files only or of all."""
    found = ((path, TEMPORARY.fullmatch(path.name)) for path in folder.iterdir())
    return [path for path, match in found if match and (files is None or match["file"] in files)]


def remove_leftovers(folder: Path, files: Collection[str] | None = None) -> None:
    """Remove them."""
    for path in leftovers(folder, files):
        path.unlink(missing_ok=True)
