"""Cleaned HTML of one block -> a small tree (nodes and strings).

The HTML was serialised by the browser (`markdown.js`), so it is well formed and the standard library's parser
is enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "center",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "li",
        "main",
        "nav",
        "ol",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "ul",
    ]
)
VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"]
)
VISIBLE = frozenset({"hr", "img", "relay-tex", "input", "li", "pre", "table"})


@dataclass
class Node:
    """An element. `ordinal` counts lists and code blocks in document order: it stays when the block grows."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Node | str] = field(default_factory=list)
    ordinal: int = 0
    has_blocks: bool = False

    @property
    def is_block(self) -> bool:
        """A block itself, or an inline element that holds one."""
        return self.tag in BLOCKS or self.has_blocks

    def elements(self, *tags: str) -> list[Node]:
        """Child elements with one of these tags."""
        return [child for child in self.children if isinstance(child, Node) and child.tag in tags]

    def holds(self, *tags: str) -> bool:
        """Whether an element with one of these tags is inside, at any depth."""
        return any(isinstance(child, Node) and (child.tag in tags or child.holds(*tags)) for child in self.children)

    def text(self) -> str:
        """The text inside, with line breaks where `br` or a block in a code listing makes one."""
        return "".join(self._texts())

    def _texts(self) -> Iterator[str]:
        for child in self.children:
            if isinstance(child, str):
                yield child
            elif child.tag == "br":
                yield "\n"
            else:
                inner = child.text()
                yield inner + "\n" if child.tag in ("div", "p", "li", "tr") and not inner.endswith("\n") else inner

    @property
    def blank(self) -> bool:
        """Nothing to see."""
        return all(
            not child.strip() if isinstance(child, str) else child.tag not in VISIBLE and child.blank
            for child in self.children
        )


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("body")
        self.stack = [self.root]
        self.count = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count += tag in ("ul", "ol", "pre")
        node = Node(tag, {name: value or "" for name, value in attrs}, ordinal=self.count)
        self.stack[-1].children.append(node)
        if tag in BLOCKS:
            for ancestor in reversed(self.stack):
                if ancestor.has_blocks:
                    break
                ancestor.has_blocks = True
        if tag not in VOID:
            self.stack.append(node)

    def handle_endtag(self, tag: str) -> None:
        for depth in range(len(self.stack) - 1, 0, -1):
            if self.stack[depth].tag == tag:
                del self.stack[depth:]
                return

    def handle_data(self, data: str) -> None:
        self.stack[-1].children.append(data)


def parse(html: str) -> Node:
    """The tree of one block, under a `body` node."""
    builder = _Builder()
    builder.feed(html)
    builder.close()
    return builder.root
