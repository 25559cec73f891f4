"""Deltas that edit one growing JSON value: the core, Gradio's diffs, and `p`/`o`/`v` patches.

The core edits in place: `Document` owns its value and every value patched into it. A reader need not
look at the value at all: each edit returns a `Change` whose path is resolved (`-1` to an index), so
routing a piece of text costs that piece, not the document.

Appending to a long string is linear in total, not quadratic: a string that is appended to stands in the
tree as a `_Growing` buffer until somebody reads `Document.value`, which turns it into a string again. So
only a reader that reads the whole value after each of many patches pays for copies of the whole.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from relay.errors import BadFrame
from relay.wire.decoder import MAX_RECORD_BYTES
from relay.wire.framing import check_size

Op = Literal["append", "replace", "add", "delete", "truncate"]
Path = tuple[str | int, ...]

MAX_DEPTH = 100
"""Deepest nesting of a document; sites stay below 20."""

_OPS: dict[str, Op] = {
    "append": "append", "replace": "replace", "set": "replace", "add": "add",
    "delete": "delete", "remove": "delete", "truncate": "truncate",
}  # fmt: skip
_BATCHES = frozenset({"batch", "patch"})
_INDEX = re.compile(r"-?[0-9]{1,9}")
_ROOT = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One edit as it was done: `path` is absolute, its list indices count from 0, `value` is as sent."""

    op: Op
    path: Path
    value: object


def pointer(text: str) -> Path:
    """The steps of a path such as `/a/b~1c` (JSON Pointer) or `response/fragments/-1/content`.

    Both `""` and `"/"` are the root (Mistral means it by `/`).
    """
    text = text.removeprefix("/")
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in text.split("/")) if text else ()


class Document:
    """A JSON value under edit, of at most `limit` characters and slots, MAX_DEPTH deep.

    Operations (in any case; aliases in brackets): `append` to a string, to a list (the items of a list,
    or one value), to an object (merge), to null or a missing key (becomes the value); `replace` (set),
    which may make a key; `add`: set a key, or insert in a list (`-` is its end); `delete` (remove);
    `truncate` to a number of list items or UTF-16 units (ChatGPT names it; the unit is an assumption).
    Anything that does not fit raises BadFrame, and the value is undefined from then on.
    """

    def __init__(self, value: Any = None, *, limit: int = MAX_RECORD_BYTES) -> None:
        self._holder: dict[str, Any] = {_ROOT: value}  # so that the root is a slot like any other
        self._limit = limit
        self._growing: list[tuple[Any, Any, _Growing]] = []
        self._weight = 0
        self._weigh(value, None, 0)

    @property
    def value(self) -> Any:
        """The value as it stands. To read, not to keep: later edits happen in place."""
        for parent, key, text in self._growing:
            _settle(parent, key, text)
        self._growing.clear()
        return self._holder.get(_ROOT)

    def apply(self, op: str, path: Sequence[str | int], v: Any) -> Change:
        """Do one edit; the document owns `v` from now on. Raises BadFrame."""
        kind = _OPS.get(op.lower())
        if kind is None:
            raise BadFrame("a patch operation", repr(op)[:200])
        check_size(len(path), MAX_DEPTH, "a patch path", "steps")
        parent, key, done = self._resolve(path, kind)
        if kind == "append" and isinstance(v, str) and (text := self._text(parent, key)) is not None:
            text.append(v)
            came, went = v, None
        else:
            came, went = _EDITS[kind](parent, key, v)
        self._weigh(came, went, len(path))
        return Change(kind, done, v)

    def _resolve(self, path: Sequence[str | int], kind: Op) -> tuple[Any, Any, Path]:
        """The container and the key of the slot that `path` names, and the path with real indices."""
        parent: Any = self._holder
        key: str | int = _ROOT
        done: list[str | int] = []
        for left, step in zip(range(len(path) - 1, -1, -1), path, strict=True):
            parent = parent.get(key) if isinstance(parent, dict) else parent[key]
            if isinstance(parent, dict):
                key = _key(parent, step, may_be_new=not left and kind in ("replace", "add", "append"))
            elif isinstance(parent, list):
                key = _index(parent, step, may_be_new=not left and kind == "add")
            else:
                raise BadFrame("a patch path into a list or an object", f"{type(parent).__name__} at {done!r}"[:200])
            done.append(key)
        if kind in ("delete", "truncate") and parent is self._holder and key not in parent:
            raise BadFrame(f"something to {kind}", "that the document was deleted")
        return parent, key, tuple(done)

    def _text(self, parent: Any, key: Any) -> _Growing | None:
        """The string at a slot as a buffer, or None if there is no string."""
        old = parent.get(key) if isinstance(parent, dict) else parent[key]
        if isinstance(old, str):
            old = parent[key] = _Growing(old)
            self._growing.append((parent, key, old))
        return old if isinstance(old, _Growing) else None

    def _weigh(self, came: Any, went: Any, depth: int) -> None:
        # Every part is weighed once when it comes and once when it goes: linear in what the site sent.
        self._weight += _weight(came, depth) - _weight(went, 0)
        check_size(self._weight, self._limit, "a patched document", "characters and slots")


def apply(value: Any, op: str, path: Sequence[str | int], v: Any) -> Any:
    """One edit of a bare value; returns the new root. Containers are edited in place. Raises BadFrame.

    Weighs the whole value each time: for a stream of edits keep a `Document`.
    """
    document = Document(value)
    document.apply(op, path, v)
    return document.value


def gradio(document: Document, diff: object) -> list[Change]:
    """Apply Gradio's diff of one output slot: a list of `[op, path, value]` (fact sheet, "Answer stream" B)."""
    if not isinstance(diff, list):
        raise BadFrame("a list of Gradio edits", repr(diff)[:200])
    changes = []
    for edit in diff:
        match edit:
            case [str(op), list(path), *v] if len(v) < 2:
                changes.append(document.apply(op, path, *(v or [None])))
            case _:
                raise BadFrame("a Gradio edit", repr(edit)[:200])
    return changes


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a missing part of a `p`/`o`/`v` patch means."""

    text_keys: frozenset[str] | None = None
    """If set: with `p` but no `o`, a path that ends in one of these keys appends and any other sets, and
    a bare object `v` is a snapshot of the whole document. If None: `p` and `o` are always those before."""
    batch_path: str = ""
    """Where a batch applies that names no path and follows no batch that did."""


CHATGPT = Dialect()
"""ChatGPT fact sheet section 5 (encoding v1)."""
DEEPSEEK = Dialect(frozenset({"content", "thinking_content", "fragments"}), "response")
"""DeepSeek fact sheet section 5."""


class Deltas:
    """Patches `{"p": path, "o": operation, "v": value}` that leave out what the patch before had.

    A batch (`BATCH`, `patch`, or a list of objects that all have `p`) holds patches relative to its
    path, which set where they name no operation. It is not remembered as "the patch before": a bare
    `{"v":"text"}` after it goes on with the text from before it.
    """

    def __init__(self, dialect: Dialect, document: Document | None = None) -> None:
        self.document = Document() if document is None else document
        self._dialect = dialect
        self._path, self._op = "", "replace"
        self._batch_path = dialect.batch_path

    def feed(self, patch: object) -> list[Change]:
        """Apply one decoded patch; the edits that it came down to. Raises BadFrame."""
        path, op, v = _parts(patch)
        if _is_batch(v) if op is None else op.lower() in _BATCHES:
            self._batch_path = self._batch_path if path is None else path
            return self._apply_batch(pointer(self._batch_path), v, 0)
        self._path, self._op = self._completed(path, op, v)
        return [self.document.apply(self._op, pointer(self._path), v)]

    def _completed(self, path: str | None, op: str | None, v: object) -> tuple[str, str]:
        text_keys = self._dialect.text_keys
        if text_keys is not None and op is None:
            if path is not None:
                return path, "append" if path.rpartition("/")[2] in text_keys else "replace"
            if isinstance(v, dict):
                return "", "replace"
        return self._path if path is None else path, self._op if op is None else op

    def _apply_batch(self, base: Path, patches: object, depth: int) -> list[Change]:
        if not isinstance(patches, list):
            raise BadFrame("a list of patches", repr(patches)[:200])
        check_size(depth, MAX_DEPTH, "batches in batches", "levels")
        changes: list[Change] = []
        for patch in patches:
            path, op, v = _parts(patch)
            steps = base + pointer(path or "")
            if op is not None and op.lower() in _BATCHES:
                changes += self._apply_batch(steps, v, depth + 1)
            else:
                changes.append(self.document.apply(op or "replace", steps, v))
        return changes


def _parts(patch: object) -> tuple[str | None, str | None, Any]:
    if isinstance(patch, dict):
        path, op, v = patch.get("p"), patch.get("o"), patch.get("v")
        if isinstance(path, str | None) and isinstance(op, str | None) and ("v" in patch or op is not None):
            return path, op, v
    raise BadFrame("a patch with p, o and v", repr(patch)[:200])


def _is_batch(v: object) -> bool:
    return isinstance(v, list) and bool(v) and all(isinstance(item, dict) and "p" in item for item in v)


class _Growing:
    """A string under construction."""

    __slots__ = ("_buffer", "_size")

    def __init__(self, text: str) -> None:
        self._buffer = io.StringIO()
        self._size = 0
        self.append(text)

    def __len__(self) -> int:
        return self._size

    def append(self, text: str) -> None:
        self._size += self._buffer.write(text)

    def text(self) -> str:
        return self._buffer.getvalue()


def _settle(parent: Any, key: Any, text: _Growing) -> None:
    """Put the string in the place of its buffer, which has moved if its list had an insertion or deletion."""
    if isinstance(parent, list) and not (key < len(parent) and parent[key] is text):
        key = next((at for at, item in enumerate(parent) if item is text), None)
    elif isinstance(parent, dict) and parent.get(key) is not text:
        key = None
    if key is not None:  # else it was deleted or replaced
        parent[key] = text.text()


# Each edit returns what came into the document and what went, to be weighed.


def _append(parent: Any, key: Any, v: Any) -> tuple[Any, Any]:
    old = parent.get(key) if isinstance(parent, dict) else parent[key]
    if isinstance(old, list):
        items = v if isinstance(v, list) else [v]
        old.extend(items)
        return items, None
    if isinstance(old, dict) and isinstance(v, dict):
        went = {name: old[name] for name in v if name in old}
        old.update(v)
        return v, went
    if old is None:
        return _replace(parent, key, v)
    raise BadFrame(f"something to append to {type(old).__name__}", repr(v)[:200])


def _replace(parent: Any, key: Any, v: Any) -> tuple[Any, Any]:
    went = {key: parent[key]} if isinstance(parent, list) or key in parent else None
    parent[key] = v
    return {key: v}, went


def _add(parent: Any, key: Any, v: Any) -> tuple[Any, Any]:
    if isinstance(parent, dict):
        return _replace(parent, key, v)
    parent.insert(key, v)
    return [v], None


def _delete(parent: Any, key: Any, v: Any) -> tuple[Any, Any]:
    went = {key: parent[key]} if isinstance(parent, dict) else [parent[key]]
    del parent[key]
    return None, went


def _truncate(parent: Any, key: Any, v: Any) -> tuple[Any, Any]:
    old = parent[key].text() if isinstance(parent[key], _Growing) else parent[key]
    if type(v) is int and v >= 0:
        if isinstance(old, list):
            went = old[v:]
            del old[v:]
            return None, went
        if isinstance(old, str):
            kept = old.encode("utf-16-le", "surrogatepass")[: 2 * v].decode("utf-16-le", "surrogatepass")
            parent[key] = kept
            return kept, old
    raise BadFrame("a length to truncate a string or a list to", f"{v!r} for {type(old).__name__}"[:200])


_EDITS: dict[Op, Callable[[Any, Any, Any], tuple[Any, Any]]] = {
    "append": _append,
    "replace": _replace,
    "add": _add,
    "delete": _delete,
    "truncate": _truncate,
}


def _key(parent: dict[str, Any], step: object, *, may_be_new: bool) -> str:
    if not isinstance(step, str) or not (may_be_new or step in parent):
        raise BadFrame("a patch path to a key that is there", repr(step)[:200])
    return step


def _index(parent: list[Any], step: object, *, may_be_new: bool) -> int:
    size = len(parent)
    if isinstance(step, str) and _INDEX.fullmatch(step):
        step = int(step)
    elif step == "-" and may_be_new:
        step = size
    if type(step) is not int or not -size <= step < size + may_be_new:
        raise BadFrame(f"a patch path to one of {size} items", repr(step)[:200])
    return step % size if step < 0 else step


def _weight(value: Any, depth: int) -> int:
    """Characters and slots in a value that lies `depth` deep (level by level: nesting is the sender's)."""
    total = 0
    level = [value]
    while level:
        check_size(depth, MAX_DEPTH + 1, "nesting", "levels")
        below: list[Any] = []
        for item in level:
            if isinstance(item, (str, bytes, _Growing)):
                total += len(item)
            elif isinstance(item, list):
                total += len(item)
                below += item
            elif isinstance(item, dict):
                total += sum(1 + len(name) if isinstance(name, str) else 1 for name in item)
                below += item.values()
        level = below
        depth += 1
    return total
