"""The `dom` driver's last resort: an answer read off the page -> a stream of Markdown deltas.

`markdown.js` watches the answer's element and reports the top-level blocks that changed, cleaned; `MarkdownStream`
turns those reports into deltas whose concatenation is the Markdown of the final answer.

Why not a library: html-to-markdown 3.21.2 was tried on the constructs below and is good at structure, but it alters
backslashes in TeX, drops table alignment, empty code blocks, no-break spaces and `<sup>`, merges neighbouring quotes,
does not escape literal `*a*`, `<div>` or `&lt;` (or, by option, escapes every underscore), and cannot tell which
part of its output is final. The standard library's parser and the modules `markdown_*` do.

Normal form of the output: `#` headings, `-` bullets (`*` for a list right after a list), numbers from the list's
start, backtick fences, `*`/`**`/`~~`, hard breaks as two spaces, `---`, compact tables, `$..$` and display maths
on lines of its own, `[text](url)`, addresses bare where they stand for themselves. Blocks are separated by one blank
line, items of a loose list too. Blanks at the edges of a block or a line are dropped, runs of spaces inside a line
are kept, no-break spaces are kept. The result neither begins nor ends with a line break.

What the page does not tell, or not in time: the difference between `*`/`_`, fences and indented code, setext and `#`
headings, reference and inline links; a list that turns loose after two tight items stays tight; a fence
that turns up inside a code block (other than a Markdown one, which waits for its end) does not lengthen ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import TypedDict

from relay.browser.markdown_blocks import Choices, Writer
from relay.browser.markdown_tree import Node, parse
from relay.errors import SiteChanged

OBSERVER = Path(__file__).with_name("markdown.js").read_text(encoding="utf-8")
"""A JavaScript expression: a function `observe(root, options, emit)`; see its first comment."""


class Update(TypedDict):
    """What the page reports: how many top-level blocks there are, and the new HTML of those that changed."""

    n: int
    changed: Sequence[tuple[int, str]]


@dataclass
class _Block:
    tree: Node = field(default_factory=lambda: Node("body"))
    choices: Choices = field(default_factory=Choices)
    after: str | None = None
    """The preceding block's list marker for which `text` and `marker` were made; None: not made."""
    text: str = ""
    marker: str = ""


class MarkdownStream:
    """Deltas of one answer. Pure: feed it the page's reports in order, then close it.

    Of all blocks but the last the whole is emitted, of the last its stable prefix. When the page contradicts
    what was emitted (re-renders an earlier part differently), nothing is emitted until it agrees again.
    """

    def __init__(self, *, line_break: str = "  \n", dedented: bool = False) -> None:
        """`line_break` is written for `<br>`; a site that renders every newline as `<br>` wants "\\n".

        `dedented`: the site strips the indentation that all lines but the first have in common off what it has so far
        (Python's `inspect.cleandoc`). Of an answer that begins with a list or a code block nothing is final then until
        a line without indentation has come: at the end of the answer or, for code, of the block.
        """
        self.conversions = 0
        """How many times a block was rendered: a measure of work."""
        self._line_break = line_break
        self._dedented = dedented
        self._blocks: list[_Block] = []
        self._sent: list[str] = []
        self._revised: set[int] = set()
        self._first: int | None = None

    def __repr__(self) -> str:
        sent = sum(map(len, self._sent))
        return f"<MarkdownStream blocks={len(self._blocks)} sent={sent} revised={sorted(self._revised)}>"

    def feed(self, update: Update) -> str:
        """Take a report; returns the text that became final, often empty."""
        count = update["n"]
        del self._blocks[count:]
        self._blocks += [_Block() for _ in range(count - len(self._blocks))]
        while self._sent and not self._sent[-1]:
            self._sent.pop()
        for index, html in update["changed"]:
            block = self._blocks[index]
            block.tree, block.after = parse(html), None
            if index >= len(self._sent):
                block.choices = Choices()
            elif index < len(self._sent) - 1:
                self._check(index)
        if self._revised or len(self._sent) > count:
            self._realign()
        last = count - 1
        while last >= 0 and self._blocks[last].tree.blank:
            last -= 1
        return "" if self._dedented and self._unsettled(last) else self._advance(last, growing=True)

    def close(self) -> str:
        """The rest, when the answer is complete and its last report was fed.

        Raises SiteChanged if the final answer does not begin with what was emitted.
        """
        while self._sent and not self._sent[-1]:
            self._sent.pop()
        for index in range(min(len(self._blocks), len(self._sent) - 1)):
            self._check(index)
        if self._revised or len(self._sent) > len(self._blocks):
            self._realign()
        rest = self._advance(len(self._blocks) - 1, growing=False)
        if self._revised:
            index = min(self._revised)
            raise SiteChanged("an answer that only grows on the page", self._rewriting(index))
        return rest

    def _rewriting(self, index: int) -> str:
        """Where the page's block `index` parts from what was emitted of it."""
        sent = self._sent[index] if index < len(self._sent) else ""
        found = self._separated(index, self._blocks[index].text) if index < len(self._blocks) else ""
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(sent, found, strict=False)))
        at = max(0, same - 20)
        return f"its block {index} rewritten: {sent[at : at + 60]!r} became {found[at : at + 60]!r}"

    def _advance(self, last: int, *, growing: bool) -> str:
        """Emit from the last block that was begun up to block `last`; stop where the page contradicts us."""
        deltas: list[str] = []
        for index in range(max(0, len(self._sent) - 1), last + 1):
            text = self._separated(index, self._render(index, growing=growing and index == last))
            if index == len(self._sent):
                self._sent.append("")
            if not text.startswith(self._sent[index]):
                if self._realign():
                    return "".join(deltas) + self._advance(last, growing=growing)
                if not growing:
                    self._revised.add(index)
                break
            deltas.append(text[len(self._sent[index]) :])
            self._sent[index] = text
        if not growing and len(self._sent) > last + 1:
            self._revised.add(last + 1)
        return "".join(deltas)

    def _unsettled(self, last: int) -> bool:
        """Whether a common indentation may be missing that is still to come back."""
        first = next((n for n, block in enumerate(self._blocks[: last + 1]) if not block.tree.blank), last)
        if first < 0 or self._sent:
            return False
        tree = self._blocks[first].tree
        return tree.holds("ul", "ol") or (first == last and tree.holds("pre"))

    def _check(self, index: int) -> None:
        """Note whether a block that was emitted whole still reads the same."""
        if self._separated(index, self._render(index, growing=False)) == self._sent[index]:
            self._revised.discard(index)
        else:
            self._revised.add(index)

    def _realign(self) -> bool:
        """Cut what was sent along the blocks as they are now: a page may wrap blocks, or unwrap them, and so count
        otherwise while the text is the same. Returns whether that changed anything; nothing is if the text differs."""
        sent, first, self._first = "".join(self._sent), self._first, None
        pieces: list[str] = []
        at = 0
        for index in range(len(self._blocks)):
            text = self._separated(index, self._render(index, growing=False))
            piece = text if sent.startswith(text, at) else sent[at:]
            if at == len(sent) or not text.startswith(piece):
                break
            pieces.append(piece)
            at += len(piece)
        if at < len(sent) or pieces == self._sent:
            self._first = first
            return False
        self._sent, self._revised = pieces, set()
        return True

    def _separated(self, index: int, text: str) -> str:
        if text and self._first is None:
            self._first = index
        return f"\n\n{text}" if text and index != self._first else text

    def _render(self, index: int, *, growing: bool) -> str:
        block, after = self._blocks[index], self._blocks[index - 1].marker if index else ""
        if not growing and block.after == after:
            return block.text
        self.conversions += 1
        writer = Writer(block.choices, self._line_break, after)
        text = writer.write(block.tree, growing=growing)
        if not growing:
            block.text, block.after, block.marker = text, after, writer.marker
        return text
