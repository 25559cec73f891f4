"""Inline HTML -> one run of Markdown text: emphasis, links, code, maths, and the escapes that literal text needs.

Escaping is minimal: a backslash is written only where a CommonMark/GFM reader would otherwise see a
construct (`a_b`, `2 * 3`, `x < 3`, `AT&T` and a lone `*` arrive as they are; `\\*a\\*`, `1\\. x`, `\\<div>` do not).
A dollar sign is never escaped.

`Inline.stable()` is the prefix that no longer depends on what is still to come; see its docstring for the rule.
"""

from __future__ import annotations

import html.entities
import re
import unicodedata
from bisect import bisect_left
from dataclasses import dataclass, field
from urllib.parse import unquote

from relay.browser.markdown_tree import Node

BLANKS = " \t\r\n\f"
DELIMITERS = {"em": "*", "i": "*", "strong": "**", "b": "**", "del": "~~", "s": "~~", "strike": "~~"}
KEPT_AS_HTML = frozenset({"sup", "sub", "u", "ins", "kbd", "mark"})

_SOFT_BREAK = re.compile(r"[ \t\r\f]*\n[ \t\r\n\f]*")
_BARE_URL = re.compile(r"(?:https?://|www\.)[^\s<>()\[\]`*]*(?:[A-Za-z0-9/_=#&%-]|[^\x00-\x7f])\Z")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|([A-Za-z][A-Za-z0-9]{1,31}));")
_RUNS = re.compile(r"\*+|_+|~+")
_TAG = re.compile(r"<(?:/?[A-Za-z][^<>]*|[!?][^<>]*)>")
_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_LINE = re.compile(
    r"(?P<first>\#{1,6}(?=[ \t\n]|\Z)|>|[-+*](?=[ \t\n]|\Z)|`{3}|~{3}|<(?=[A-Za-z/!?])|\[(?=[^\]\n]+\]:)"
    r"|([-*_])[ \t]*(?:\2[ \t]*){2,}(?=\n|\Z))"
    r"|(?P<number>[0-9]{1,9})[.)](?=[ \t\n]|\Z)"
)
_UNDERLINE = re.compile(r"(?:=+|-+|(?P<row>[|: \t]*)-[-|: \t]*)[ \t]*(?=\n|\Z)")
_MARKERS_ONLY = re.compile(r"(?:[0-9]{1,9}[.)])?[-=*_|:+ \t`~#>]*\Z")


def _punctuation(char: str) -> bool:
    return char in _PUNCTUATION if char.isascii() else unicodedata.category(char)[0] in "PS"


def code_span(text: str) -> str:
    """`text` between backticks, in a fence that is longer than any run inside."""
    text = text.replace("\n", " ")
    runs = {len(run) for run in re.findall(r"`+", text)}
    fence = "`" * next(n for n in range(1, len(text) + 2) if n not in runs)
    padded = text.startswith("`") or text.endswith("`") or (text[:1] == text[-1:] == " " and text.strip(" ") != "")
    return f"{fence} {text} {fence}" if padded else f"{fence}{text}{fence}"


def destination(url: str, title: str) -> str:
    """The part of a link between its parentheses."""
    unbalanced = url.count("(") != url.count(")")
    if not url or unbalanced or re.search(r"[\s<>]", url):
        url = "<" + url.replace("<", "%3C").replace(">", "%3E").replace("\n", "%0A") + ">"
    return url + (' "' + title.replace("\\", "\\\\").replace('"', '\\"') + '"' if title else "")


@dataclass
class Inline:
    """A run under construction: its characters, and for each whether it is top-level text (`t`), text inside
    emphasis or a link (`e`), a hard break (`b`), a bare address (`u`) or other Markdown that we wrote (`r`)."""

    line_break: str = "  \n"
    text: str = ""
    mask: str = ""
    _after_break: bool = field(default=True, repr=False)

    def add(self, nodes: list[Node | str], kind: str = "t") -> Inline:
        """Append nodes; returns self."""
        for node in nodes:
            if isinstance(node, str):
                self._add_text(node, kind)
            else:
                self._add_element(node, kind)
        return self

    def _put(self, text: str, kind: str) -> None:
        if text:
            self.text += text
            self.mask += kind * len(text)
            self._after_break = text.endswith("\n")

    def _break(self) -> None:
        twice = self.mask.endswith("b")
        self._strip_right()
        if self.text:
            self._put("\n\n" if twice else self.line_break, "b")

    def _strip_right(self) -> None:
        kept = len(self.text.rstrip(BLANKS))
        self.text, self.mask = self.text[:kept], self.mask[:kept]

    def _add_text(self, text: str, kind: str) -> None:
        text = _SOFT_BREAK.sub("\n", text)
        if self._after_break:
            text = text.lstrip(BLANKS)
        elif text.startswith("\n"):
            self._strip_right()
        self._put(text, kind)

    def _add_element(self, node: Node, kind: str) -> None:
        tag = node.tag
        if tag == "br":
            self._break()
        elif tag in ("code", "tt", "samp"):
            if content := node.text():
                self._put(code_span(content), "r")
        elif tag == "relay-tex":
            fence = "$$" if "block" in node.attributes else "$"
            self._put(fence + node.text().strip() + fence, "r")
        elif tag == "img":
            self._add_image(node)
        elif tag == "a" and node.attributes.get("href") and not node.attributes["href"].startswith("javascript:"):
            self._add_link(node)
        elif tag in DELIMITERS:
            self._wrap(node, DELIMITERS[tag])
        elif tag in KEPT_AS_HTML:
            self._wrap(node, f"<{tag}>", f"</{tag}>")
        else:
            self.add(node.children, kind)

    def _inner(self, node: Node) -> Inline:
        inner = Inline(self.line_break, _after_break=self._after_break)
        return inner.add(node.children, "e")

    def _wrap(self, node: Node, opening: str, closing: str | None = None) -> None:
        """Delimiters around the content; blanks at its edges move outside, where emphasis allows them."""
        inner = self._inner(node)
        body = inner.text.strip(BLANKS)
        start = inner.text.find(body)
        self._put(inner.text[:start], "t")
        if body:
            if self.text.endswith("*") and self.mask.endswith("r") and opening in ("*", "**"):
                opening = opening.replace("*", "_")
            self._put(opening, "r")
            self.text += body
            self.mask += inner.mask[start : start + len(body)]
            self._put(closing or opening, "r")
        self._put(inner.text[start + len(body) :], "t")

    def _add_image(self, node: Node) -> None:
        source = node.attributes.get("src", "")
        if source and not source.startswith(("data:", "blob:")):  # those mean nothing outside the page
            alt = re.sub(r"([\[\]\\])", r"\\\1", node.attributes.get("alt", ""))
            self._put(f"![{alt}]({destination(source, node.attributes.get('title', ''))})", "r")

    def _add_link(self, node: Node) -> None:
        url, title = node.attributes["href"], node.attributes.get("title", "")
        inner = self._inner(node)
        label = inner.text.strip(BLANKS)
        if not title and label and label in (url, unquote(url), url.removeprefix("http://")) and _BARE_URL.match(label):
            self._put(label, "u")
            return
        if not label:
            return
        start = inner.text.find(label)
        self._put(inner.text[:start], "t")
        self._put("[", "r")
        balanced = label.count("[") == label.count("]")
        for char, kind in zip(label, inner.mask[start:], strict=False):
            if char in "[]" and kind != "r" and not balanced:
                self._put("\\", "r")
            self._put(char, kind)
        self._put(f"]({destination(url, title)})", "r")
        self._put(inner.text[start + len(label) :], "t")

    # -- reading it out ------------------------------------------------------------------------------------------

    def markdown(self, *, item: bool = False, lines: bool = True) -> str:
        """The whole run. `item`: at the start of a list item; `lines`: line starts mean something (not in a cell)."""
        return self._escaped(len(self.text.rstrip(BLANKS)), item, lines)

    def stable(self, *, item: bool = False) -> str:
        """The prefix that cannot change when the run grows at its end.

        It stops before the first character of top-level text that could still open a construct (an emphasis
        delimiter, backtick, dollar, bracket, tag), before a line that may become a table or an underline, and then
        goes back to the last blank, or non-ASCII character (Chinese has no blanks), outside every element: the last
        word may still become a link or an entity, the last element may still grow.
        """
        limit = self._hold()
        while limit > 0:
            if self.mask[limit - 1] == "t" and not self.text[limit - 1].isascii():
                break
            if self.text[limit : limit + 1] in tuple(BLANKS) and self.mask[limit] in "tb":
                break
            limit -= 1
        return self._escaped(len(self.text[:limit].rstrip(BLANKS)), item, True)

    def _hold(self) -> int:
        text, mask = self.text, self.mask
        last = text.rfind("\n") + 1
        limit = last if _MARKERS_ONLY.match(text, last) else len(text)
        previous = text.rfind("\n", 0, max(0, last - 1)) + 1
        for start in (last, previous):  # a table's head is known only by the row below it
            if "|" in text[start : text.find("\n", start) if start < last else len(text)]:
                limit = min(limit, start)
        for match in re.finditer(r"[*_~`$\[(<]", text[:limit]):
            at, char = match.start(), match.group()
            if mask[at] == "t" and self._may_open(at, char):
                return at
        return limit

    def _may_open(self, at: int, char: str) -> bool:
        text = self.text
        following = text[at + 1 : at + 2]
        if char == "`":
            return True
        if char == "(":
            return text.find(")", at) < 0
        if char == "[":
            end = text.find("]", at)
            return end < 0 or text[end + 1 : end + 2] in ("", "(", "[", ":")
        if char == "<":
            return following == "" or ((following in "/!?" or following.isalpha()) and text.find(">", at) < 0)
        if char == "_" and at and text[at - 1].isalnum():
            return False
        return following == "" or not following.isspace()

    def _escaped(self, end: int, item: bool, lines: bool) -> str:
        marks = sorted(at for at in self._escapes(item, lines) if at < end)
        pieces, start = [], 0
        for at in marks:
            pieces.append(self.text[start:at])
            start = at
        text = "\\".join([*pieces, self.text[start:end]])
        if "u" not in self.mask:
            return text
        return self._angled(text, end, marks)

    def _angled(self, text: str, end: int, marks: list[int]) -> str:
        """Bare addresses that touch the following text get angle brackets, or they would swallow it."""
        for match in reversed(list(re.finditer("u+", self.mask[:end]))):
            following = self.text[match.end() : match.end() + 1]
            if following and following not in BLANKS + ",.;:!?)" and not self.text[match.start() :].startswith("www."):
                start = match.start() + bisect_left(marks, match.start())
                stop = start + match.end() - match.start()
                text = f"{text[:start]}<{text[start:stop]}>{text[stop:]}"
        return text

    # -- escapes -------------------------------------------------------------------------------------------------

    def _escapes(self, item: bool, lines: bool) -> set[int]:
        """Positions that need a backslash before them."""
        text, mask = self.text, self.mask
        found = self._delimiters() | self._backticks()
        for match in re.finditer(r"[\\<&!\[]", text):
            at, char = match.start(), match.group()
            if mask[at] not in "te":
                continue
            following = text[at + 1 : at + 2]
            entity = _ENTITY.match(text, at) if char == "&" else None
            if (
                (char == "\\" and (following in _PUNCTUATION or following in ("", "\n")))
                or (char == "<" and _TAG.match(text, at))
                or (entity and (not entity[1] or f"{entity[1]};" in html.entities.html5))
                or (char == "!" and following == "[" and mask[at + 1] == "r")
                or (char == "[" and re.compile(r"\[[^\[\]\n]*\]\(").match(text, at))
            ):
                found.add(at)
        if lines:
            found |= self._line_starts()
            if item and mask[:1] == "t" and re.match(r"\[[ xX]\](?=\s)", text):
                found.add(0)
        return found

    def _delimiters(self) -> set[int]:
        """Runs of `*`, `_`, `~` that would pair (CommonMark 6.2 flanking; GFM strikethrough)."""
        text, mask, found = self.text, self.mask, set[int]()
        runs: dict[str, list[tuple[range, bool, bool]]] = {}
        for match in _RUNS.finditer(text):
            char = match.group()[0]
            for part in re.finditer("[te]+", mask[match.start() : match.end()]):
                start, end = match.start() + part.start(), match.start() + part.end()
                before, after = text[start - 1 : start] or " ", text[end : end + 1] or " "
                left = not after.isspace() and (not _punctuation(after) or before.isspace() or _punctuation(before))
                right = not before.isspace() and (not _punctuation(before) or after.isspace() or _punctuation(after))
                if char == "_":
                    left, right = (
                        left and (not right or _punctuation(before)),
                        right and (not left or _punctuation(after)),
                    )
                if char in (before, after) or ("e" in part.group() and (left or right)):
                    found.update(range(start, end))
                elif char != "~" or end - start <= 2:
                    runs.setdefault(char, []).append((range(start, end), left, right))
        for same in runs.values():
            first = next((i for i, run in enumerate(same) if run[1]), len(same))
            last = next((i for i in range(len(same) - 1, -1, -1) if same[i][2]), -1)
            for i, (span, left, right) in enumerate(same):
                if (left and last > i) or (right and first < i):
                    found.update(span)
        return found

    def _backticks(self) -> set[int]:
        runs = [match.span() for match in re.finditer("`+", self.text)]
        lengths = [end - start for start, end in runs]
        found = set[int]()
        for start, end in runs:
            if self.mask[start] in "te" and lengths.count(end - start) > 1:
                found.update(range(start, end))
        return found

    def _line_starts(self) -> set[int]:
        found, start = set[int](), 0
        while 0 <= start < len(self.text):
            if self.mask[start] in "te":
                if match := _LINE.match(self.text, start):
                    found.add(match.end("number") if match["number"] else start)
                elif start and (match := _UNDERLINE.match(self.text, start)):
                    found.add(match.end("row") if match["row"] else start)
            start = self.text.find("\n", start) + 1 or -1
        return found
