"""A tree of blocks -> Markdown: paragraphs, headings, lists, tables, quotes, code, maths.

With `growing=True` the last block is still being written: only its stable prefix is rendered (complete lines of
code, complete rows, complete items and the stable prefix of the last one, words of a paragraph; nothing of a heading,
a rule or a formula, which a Markdown renderer shows in passing where another construct is on its way).

Some choices cannot be read off a part of a block: whether a list is loose, how long a fence must be. They are kept in
a `Choices` when first made, so that later renderings agree with what was already sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from relay.browser.markdown_inline import Inline
from relay.browser.markdown_tree import Node

_MARKDOWN_LANGUAGES = frozenset({"markdown", "md", "mdx", "mdc", "rmd"})
_LANGUAGE = re.compile(r"(?:^|\s)lang(?:uage)?-([^\s`]+)")
_FENCE_LINE = re.compile(r"^ {0,3}(`{3,})", re.MULTILINE)


@dataclass
class Choices:
    """What was decided for the lists and code blocks of one top-level block, by ordinal."""

    loose: dict[int, bool] = field(default_factory=dict)
    fences: dict[int, str] = field(default_factory=dict)


@dataclass
class Writer:
    """Renders one top-level block. `after` is the list marker of the block before it, if that was a list: a list that
    follows a list needs another marker, or both would be one. Afterwards `marker` is this block's own last one."""

    choices: Choices
    line_break: str = "  \n"
    after: str = ""
    marker: str = ""

    def write(self, body: Node, *, growing: bool) -> str:
        """The Markdown of `body`, without a final line break."""
        text, self.marker = self._blocks(body.children, growing, after=self.after)
        return text

    def _blocks(
        self, nodes: list[Node | str], growing: bool, *, item: bool = False, tight: bool = False, after: str = ""
    ) -> tuple[str, str]:
        """Blocks in a row, and the marker of the last if it is a list."""
        groups = _groups(nodes)
        text, previous = "", ""
        for index, group in enumerate(groups):
            open_ = growing and index == len(groups) - 1
            kind, piece, marker = self._block(group, open_, item=item and index == 0, after=after)
            if not piece:
                continue
            if text:
                text += "\n" if item and _joined(previous, kind, group, tight) else "\n\n"
            text, previous, after = text + piece, kind, marker
        return text, after

    def _block(self, group: Node | list[Node | str], growing: bool, *, item: bool, after: str) -> tuple[str, str, str]:
        """One block: its kind, text and list marker."""
        if isinstance(group, list) or group.tag in ("p", "dt", "summary"):
            return "text", self._paragraph(group if isinstance(group, list) else group.children, growing, item), ""
        match group.tag:
            case "ul" | "ol":
                marker = self._marker(group, after)
                return "list", self._list(group, growing, marker), marker
            case "pre":
                return "code", self._code(group, growing), ""
            case "table":
                return "table", self._table(group, growing), ""
            case "blockquote":
                inner, _ = self._blocks(group.children, growing)
                return "quote", _indented(inner, "> ", "> ") if inner else "", ""
            case "hr" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "details" if growing:
                return "held", "", ""
            case "hr":
                return "rule", "---", ""
            case "details":
                return "html", self._details(group), ""
            case tag if len(tag) == 2 and tag[0] == "h":
                title = self._inline(group.children).markdown(lines=False).replace("\n", " ")
                title = re.sub(r"(?<= )(#+)\Z", r"\\\1", title)
                return "heading", f"{'#' * int(tag[1])} {title}" if title else "", ""
        text, marker = self._blocks(group.children, growing, after=after)
        return "text", text, marker

    def _inline(self, nodes: list[Node | str]) -> Inline:
        return Inline(self.line_break).add(nodes)

    def _paragraph(self, nodes: list[Node | str], growing: bool, item: bool) -> str:
        formula = _lone_formula(nodes)
        if formula is not None:
            return "" if growing else f"$$\n{formula}\n$$"
        task = next((n for n in nodes if isinstance(n, Node) and n.tag == "input"), None) if item else None
        if task is None:
            run = self._inline(nodes)
            return run.stable(item=item) if growing else run.markdown(item=item)
        run = self._inline([node for node in nodes if node is not task])
        text = run.stable() if growing else run.markdown()
        box = "[x]" if "checked" in task.attributes else "[ ]"
        return f"{box} {text}" if text or not growing else ""

    # -- lists ---------------------------------------------------------------------------------------------------

    @staticmethod
    def _marker(node: Node, after: str) -> str:
        if node.tag == "ul":
            return "*" if after == "-" else "-"
        return ")" if after == "." else "."

    def _list(self, node: Node, growing: bool, marker: str) -> str:
        items = [child for child in node.children if isinstance(child, Node)]
        loose = any(item.elements("p") for item in items)
        if len(items) > 1 or any(_shows_tightness(item) for item in items):
            loose = self.choices.loose.setdefault(node.ordinal, loose)
        start = node.attributes.get("start", "")
        number = int(start) if start.isdecimal() else 1
        pieces = []
        for index, item in enumerate(items):
            open_ = growing and index == len(items) - 1
            inner, _ = self._blocks(item.children, open_, item=True, tight=not loose)
            if not inner and open_:
                break
            bullet = f"{marker} " if node.tag == "ul" else f"{number + index}{marker} "
            pieces.append(_indented(inner, bullet, " " * len(bullet)) if inner else bullet.rstrip())
        return ("\n\n" if loose else "\n").join(pieces)

    # -- code, tables, the rest ----------------------------------------------------------------------------------

    def _code(self, node: Node, growing: bool) -> str:
        code = node.text().removesuffix("\n")
        language = _language(node)
        if growing:
            if language.lower() in _MARKDOWN_LANGUAGES:
                return ""  # fences inside are likely, and how long ours must be is known only at the end
            complete, newline, _ = code.rstrip("\n").rpartition("\n")
            if not newline:
                return ""
            return f"{self._fence(node, complete)}{language}\n{complete}"
        fence = self._fence(node, code)
        return f"{fence}{language}\n{code}\n{fence}" if code else f"{fence}{language}\n{fence}"

    def _fence(self, node: Node, code: str) -> str:
        longest = max((len(match[1]) for match in _FENCE_LINE.finditer(code)), default=2)
        return self.choices.fences.setdefault(node.ordinal, "`" * max(3, longest + 1))

    def _table(self, node: Node, growing: bool) -> str:
        rows = _rows(node)
        if not rows:
            return ""
        head = rows[0].elements("th", "td")
        width = max(len(row.elements("th", "td")) for row in rows)
        lines = [
            self._row(head, width),
            "| " + " | ".join([_rule(cell) for cell in head] + ["---"] * (width - len(head))) + " |",
        ]
        lines += [self._row(row.elements("th", "td"), width) for row in rows[1:]]
        return "\n".join(lines[:-1] if growing else lines)

    def _row(self, cells: list[Node], width: int) -> str:
        texts = [self._cell(cell) for cell in cells] + [""] * (width - len(cells))
        return "| " + " | ".join(texts) + " |"

    def _cell(self, cell: Node) -> str:
        paragraphs = [
            Inline("<br>").add(group if isinstance(group, list) else [group]).markdown(lines=False)
            for group in _groups(cell.children)
        ]
        return "<br>".join(filter(None, paragraphs)).replace("\n", " ").replace("|", "\\|")

    def _details(self, node: Node) -> str:
        summary = node.elements("summary")
        title = self._inline(summary[0].children).markdown(lines=False) if summary else ""
        inner, _ = self._blocks([child for child in node.children if child not in summary], False)
        return f"<details>\n<summary>{title}</summary>\n\n{inner}\n\n</details>"


def _groups(nodes: list[Node | str]) -> list[Node | list[Node | str]]:
    """Block elements, and runs of inline content between them; blank runs are left out."""
    groups: list[Node | list[Node | str]] = []
    run: list[Node | str] = []

    def end_run() -> None:
        if not Node("run", children=run).blank:
            groups.append(run.copy())
        run.clear()

    for node in nodes:
        if isinstance(node, str) or not (node.is_block or _is_display(node)):
            run.append(node)
            continue
        lone = _is_display(node)
        if lone and not Node("run", children=run).blank:
            run.append(node)  # a display formula amid text stays in its line
            continue
        end_run()
        groups.append([node] if lone else node)
    end_run()
    return groups


def _is_display(node: Node) -> bool:
    return node.tag == "relay-tex" and "block" in node.attributes


def _lone_formula(nodes: list[Node | str]) -> str | None:
    """The TeX, if a display formula is all there is."""
    seen = [node for node in nodes if not isinstance(node, str) or node.strip()]
    while len(seen) == 1 and isinstance(seen[0], Node) and not _is_display(seen[0]) and seen[0].tag in ("span", "div"):
        seen = [node for node in seen[0].children if not isinstance(node, str) or node.strip()]
    if len(seen) == 1 and isinstance(seen[0], Node) and _is_display(seen[0]):
        return seen[0].text().strip()
    return None


def _joined(previous: str, kind: str, group: Node | list[Node | str], tight: bool) -> bool:
    """Whether two blocks of a list item stand on consecutive lines.

    A nested list always follows its item's text at once, also in a loose list: while the first item is streamed
    nobody can know that the list will be loose. (It must be able to interrupt the text: bullets, or numbers from 1.)
    """
    if isinstance(group, list):
        return False
    if kind == "list" and previous == "text":
        return group.tag == "ul" or group.attributes.get("start", "1") == "1"
    return tight and previous in ("text", "code", "heading") and kind in ("list", "code", "quote", "heading")


def _shows_tightness(item: Node) -> bool:
    """Whether it holds more than a text and a list below it, which look alike in tight and loose lists."""
    groups = _groups(item.children)
    return len(groups) > 2 or (len(groups) == 2 and (isinstance(groups[1], list) or groups[1].tag not in ("ul", "ol")))


def _indented(text: str, first: str, rest: str) -> str:
    lines = text.split("\n")
    return "\n".join([first + lines[0], *(rest + line if line else rest.rstrip() for line in lines[1:])])


def _language(node: Node) -> str:
    code = node.elements("code")
    for element in (node, *code):
        if language := element.attributes.get("data-lang", "") or element.attributes.get("data-language", ""):
            return language
        if match := _LANGUAGE.search(element.attributes.get("class", "")):
            return match[1]
    return ""


def _rows(node: Node) -> list[Node]:
    rows: list[Node] = []
    for child in node.children:
        if isinstance(child, Node):
            rows += [child] if child.tag == "tr" else _rows(child) if child.tag in ("thead", "tbody", "tfoot") else []
    return rows


def _rule(cell: Node) -> str:
    style = re.search(r"text-align:\s*(\w+)", cell.attributes.get("style", ""))
    align = cell.attributes.get("align") or (style[1] if style else "")
    return {"left": ":---", "right": "---:", "center": ":---:"}.get(align, "---")
