"""Calls read out of an answer while it streams: text passes, what may begin a call is held until that is known.

Nothing after the first call passes: a model that talks on after it has not seen a result. Each character is looked at a
bounded number of times, whatever the pieces it comes in.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from relay.chat import tool_dialects as dialects
from relay.chat.events import ToolCall
from relay.chat.tool_dialects import BAR, INVOKE, MARK, PREFIX, WRAPPER, Block

MAX_INFO_CHARS = 60
MAX_TAG_CHARS = 300
_MAYBE = {"", "json", "json5", "jsonc", "xml", "tool", "tools", "tool_json", "tool_call", "tool_calls", "tool_code",
          "function_call", "function_calls"}  # fmt: skip
"""Info words of fences that hold calls at times, and other things at others."""
_OPENED = re.compile(rf"{BAR}(?:[ \t]*(?P<own>call-[0-9a-z]{{1,16}})[ \t]*(?=[{{\[])|(?P<info>[^`\n]*)\n)")
_FENCE = re.compile(rf"^{_OPENED.pattern}", re.MULTILINE)
_TAG = re.compile(
    rf"<{PREFIX}(?:tool_calls>|function_calls>|tool_call>|function_call>|invoke\s|function=)|\[TOOL_CALLS\]"
)
_TAIL = re.compile(
    rf"^[ \t]{{0,3}}`+[^`\n]{{0,{MAX_INFO_CHARS}}}\Z|<[^<>\n`]{{0,{MAX_INFO_CHARS}}}\Z|\[[A-Z_]{{0,10}}\Z", re.MULTILINE
)
"""What may become an opener with what comes next."""
_BLANK = re.compile(r"\s*")
_NONCE = re.compile(r"call-[0-9a-z]{1,16}")
"""Of any request: in a long conversation a model may remember an older one."""
_BARE = re.compile(
    r"""[\[{\s]*"(?:name|tool|tool_name|tool_calls|calls|function_calls|function|type|id|arguments|parameters|input)"\s*:"""
)
_BEGINS_BARE = re.compile(r'[\[{][\[{\s]*(?:"[a-z_]{0,16}"?\s*)?\Z')
_CUT_OPENING = re.compile(r"\s*`{3,}[ \t]*call-[0-9a-z]{0,16}\s*")
_MAX_TRIES = 8
_MAX_WRAPPERS = 2
_PIECE_CHARS = 512
"""So much is looked at in one go: what follows a false beginning is looked at again, but no more than this."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """What the end of an answer brings."""

    text: str = ""
    """The rest of the text."""
    calls: tuple[ToolCall, ...] = ()
    fault: str = ""
    """What is wrong with a block that was meant to hold calls; then `text` has nothing of it."""


class ToolParser:
    """Feed it the answer's text; it gives back what is surely no call. `close` it once, at the end."""

    def __init__(self, names: Collection[str]) -> None:
        """`names`: of the tools that there are."""
        self._names = frozenset(names)
        self._blank: list[str] = []  # white space that is dropped if a call follows
        self._held = ""  # what could begin an opener
        self._fresh = True  # whether `_held` begins at the start of a line, white space aside
        self._begun = False  # whether any text has passed
        self._code = ""  # the bars of a fence that holds no calls, while we are in it
        self._block: list[str] | None = None  # a block of calls, once one has begun
        self._maybe: _Maybe | None = None

    def __repr__(self) -> str:
        state = "block" if self._block is not None else "maybe" if self._maybe else "code" if self._code else "text"
        return f"<ToolParser {state} held={len(self._held)}>"

    def feed(self, text: str) -> str:
        """Text that is surely no call, often not up to the end of what came."""
        out: list[str] = []
        for at in range(0, len(text), _PIECE_CHARS):
            piece = text[at : at + _PIECE_CHARS]
            while piece and self._block is None:
                piece = self._decide(piece, out) if self._maybe is not None else self._scan(self._held + piece, out)
            if self._block is not None:
                self._block += (piece, text[at + _PIECE_CHARS :])
                break
        return "".join(out)

    def close(self) -> Parsed:
        """The rest, and the calls."""
        out: list[str] = []
        if self._maybe is not None:
            maybe, self._maybe = self._maybe, None
            found = maybe.whole(self._names)
            if found is not None and found.calls:
                return Parsed(calls=tuple(found.calls))
            if found is None and maybe.cut(self._names):
                return Parsed(fault="the answer ends within a call, or its JSON cannot be read")
            out.append("".join(self._blank) + maybe.text)
            self._blank = []
        if self._block is None:
            if _CUT_OPENING.fullmatch(self._held):
                return Parsed("".join(out), fault="the answer ends where a block of calls begins")
            return Parsed("".join([*out, *self._blank, self._held]))
        text = "".join(self._block)
        block = read_block(text)
        calls = tuple(
            call for call in block.calls if call.name in self._names or text.lstrip(" \t`").startswith("call-")
        )
        if block.fault or not calls:
            if not block.fault and block.calls:
                return Parsed("".join([*out, *self._blank, text]))  # calls of tools that there are not: only text
            return Parsed("".join(out), fault=block.fault or "a block of calls is empty")
        return Parsed("".join(out), calls)

    # text

    def _scan(self, text: str, out: list[str]) -> str:
        """Pass on what is text; returns what is left once something else begins."""
        self._held = ""
        if self._code:
            return self._scan_code(text, out)
        if not self._begun and (bare := self._scan_bare(text)) is not None:
            return bare
        fence, tag = _FENCE.search(text), _TAG.search(text)
        if fence is not None and fence.start() == 0 and not self._fresh:
            fence = _FENCE.search(text, 1)
        first = min(
            (match for match in (fence, tag) if match is not None), key=lambda match: match.start(), default=None
        )
        if first is None:
            self._hold(text, out)
            return ""
        self._pass(text[: first.start()], out)
        rest = text[first.start() :]
        if first is tag:
            self._maybe = _Maybe("tag")
            return rest
        assert fence is not None
        info = (fence["own"] or fence["info"]).strip()
        if _NONCE.fullmatch(info):
            self._block = []
            return rest
        if info.lower() in _MAYBE:
            self._maybe = _Maybe("fence", fence["bar"], len(fence[0]))
            return rest
        self._pass(fence[0], out)
        self._code = fence["bar"]
        return rest[len(fence[0]) :]

    def _scan_bare(self, text: str) -> str | None:
        """An answer that begins as JSON may be a call from end to end; None where it does not."""
        begun = text.lstrip()
        if not begun:
            self._blank.append(text)
            return ""
        if begun[0] not in "{[" or begun.startswith(MARK[: len(begun)]):
            return None
        if _BARE.match(begun):
            self._maybe = _Maybe("bare")
            return text
        if _BEGINS_BARE.match(begun) and len(begun) < MAX_INFO_CHARS:
            self._held = text
            return ""
        return None

    def _scan_code(self, text: str, out: list[str]) -> str:
        """Inside a fence that holds no calls: up to its closing line."""
        closing = re.compile(rf"^[ \t]{{0,3}}{self._code}`*[ \t]*$\n?", re.MULTILINE)
        match = closing.search(text, 0 if self._fresh else 1)
        if match is not None and (match[0].endswith("\n") or match.end() < len(text)):
            self._pass(text[: match.end()], out)
            self._code = ""
            return text[match.end() :]
        self._hold(text, out)
        return ""

    def _hold(self, text: str, out: list[str]) -> None:
        """Pass all but a tail that may begin an opener, and the white space before it."""
        at = max(text.rfind("\n") + 1, len(text) - MAX_TAG_CHARS)
        tail = _TAIL.search(text, at) if at or self._fresh or "<" in text or "[" in text else None
        if tail is not None and tail.start() == 0 and not self._fresh and tail[0].lstrip(" \t").startswith("`"):
            tail = None
        cut = tail.start() if tail is not None else len(text)
        self._pass(text[:cut], out)
        self._held = text[cut:]

    def _pass(self, text: str, out: list[str]) -> None:
        """Text that is no call; white space at its end waits for what follows."""
        if not text:
            return
        kept = text.rstrip()
        if kept:
            out += [*self._blank, kept]
            self._blank = []
            self._begun = True
        if len(kept) < len(text):
            self._blank.append(text[len(kept) :])
        line = text[text.rfind("\n") + 1 :]
        self._fresh = not line.strip() and ("\n" in text or self._fresh)

    # what may be a call

    def _decide(self, text: str, out: list[str]) -> str:
        """Hold on, begin a block, or give free what is none."""
        maybe = self._maybe
        assert maybe is not None
        verdict = maybe.add(text, self._names)
        if verdict is None:
            return ""
        self._maybe = None
        if verdict:
            self._block = []
            return maybe.text
        if maybe.kind == "fence":
            self._pass(maybe.text[: maybe.head], out)
            self._code = maybe.bar
            return maybe.text[maybe.head :]
        self._pass(maybe.text[:1], out)
        self._begun = True
        return maybe.text[1:]


class _Maybe:
    """Text that looks like the beginning of a call, until it is known whether it is one."""

    def __init__(self, kind: str, bar: str = "", head: int = 0) -> None:
        self.kind = kind
        self.bar = bar
        self.head = head
        """Length of the fence's first line."""
        self._parts: list[str] = []
        self._size = 0
        self._inside = ""  # the first character in the fence
        self._line = ""  # the end of what came, which may be part of a closing line
        self._tries = 0

    @property
    def text(self) -> str:
        """All of it so far."""
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""

    def add(self, more: str, names: Collection[str]) -> bool | None:
        """Whether it is a call, None where more is needed."""
        self._parts.append(more)
        self._size += len(more)
        if self.kind == "bare":
            return None
        if self.kind == "tag":
            return tag_verdict(self.text, names, full=self._size > MAX_TAG_CHARS)
        if not self._inside:
            if self._size - len(more) >= self.head and not more.strip():
                return None
            self._inside = self.text[self.head :].lstrip()[:1]
        if not self._inside:
            return None
        if self._inside == "<":
            inside = self.text[self.head :].lstrip()
            return tag_verdict(inside, names, full=len(inside) > MAX_TAG_CHARS)
        return self._closed(more, names) if self._inside in "{[" else False

    def _closed(self, more: str, names: Collection[str]) -> bool | None:
        """Of JSON in a fence: known once the fence is closed."""
        line = self._line + (more if self._line else self.text[self.head - 1 :])
        closing = re.search(rf"\n[ \t]{{0,3}}{self.bar}[ \t]*(?:\n|\Z)", line)
        self._line = line[-len(self.bar) - 8 :]
        if closing is None:
            return None
        block, _ = dialects.read_fence(self.text, self.head, self.bar)
        if not block.fault:
            return dialects.known(block, names)
        self._line = " "
        self._tries += 1
        return False if self._tries >= _MAX_TRIES else None

    def cut(self, names: Collection[str]) -> bool:
        """Whether it was to be a call, and has no end or cannot be read."""
        inside = self.text[self.head :].lstrip()
        if self.kind == "tag" or _TAG.match(inside):
            return True
        return self._read()[0].broken and dialects.meant(inside, names)

    def whole(self, names: Collection[str]) -> Block | None:
        """The calls, where all of it is calls of tools that there are."""
        if self.kind == "tag":
            return None
        block, end = self._read()
        return (
            block if not block.fault and dialects.known(block, names) and not self.text[end:].strip("`\n \t") else None
        )

    def _read(self) -> tuple[Block, int]:
        return dialects.read_fence(self.text, self.head, self.bar if self.kind == "fence" else "\0")


def tag_verdict(text: str, names: Collection[str], *, full: bool = False, within: int = 0) -> bool | None:
    """Whether a text that begins like a tag begins a call; None where it is too short to tell (but `full`: no).

    `within` counts the wrappers around it: each is looked into again with each character, so they may not be many.
    """
    if text.startswith(MARK):
        rest = text[len(MARK) :].lstrip()
        return None if not rest else rest[0] in "[{" or _named(rest, names)
    if wrapper := WRAPPER.match(text):
        rest = text[wrapper.end() :].lstrip()
        if within == _MAX_WRAPPERS:
            return False
        if not rest:
            return None
        if rest[0] in "{[":
            return True
        if rest[0] == "<":
            if INVOKE.match(rest) or _TAG.match(rest):
                return tag_verdict(rest, names, full=full, within=within + 1)
            if re.match(r"<(?:tool|name|tool_name)>", rest):
                return True
            return None if len(rest) < MAX_INFO_CHARS and ">" not in rest and not full else False
        return _named(rest, names)
    if invoke := INVOKE.match(text):
        return (invoke["name"] or invoke["function"]) in names
    return False if ">" in text or full else None


def _named(rest: str, names: Collection[str]) -> bool | None:
    """Whether the text begins with the name of a tool."""
    word = re.match(r"[\w.-]*", rest)
    assert word is not None
    if word.end() == len(rest):
        return None if any(name.startswith(word[0]) for name in names) else False
    return word[0] in names


def read_block(text: str) -> Block:
    """All calls of a text that begins with one: several fences or tags may follow each other. The rest is dropped."""
    block = Block()
    at = 0
    while True:
        at = _past_blank(text, at)
        fence = _OPENED.match(text, at)
        if fence is not None:
            info = (fence["own"] or fence["info"]).strip()
            if block.calls and not _NONCE.fullmatch(info) and info.lower() not in _MAYBE:
                return block  # a result that it made up
            inside = _past_blank(text, fence.end())
            if text.startswith("<", inside):
                found, at = dialects.read_tags(text, inside)
                at = _past_blank(text, at)
                at += len(fence["bar"]) if text.startswith(fence["bar"], at) else 0
            else:
                found, at = dialects.read_fence(text, inside, fence["bar"])
        elif text.startswith(MARK, at):
            found, at = dialects.read_mark(text, at + len(MARK))
        elif WRAPPER.match(text, at) or INVOKE.match(text, at):
            found, at = dialects.read_tags(text, at)
        else:
            return block
        block.calls += found.calls
        if found.fault:
            block.fault = found.fault
            return block


def _past_blank(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    assert match is not None
    return match.end()
