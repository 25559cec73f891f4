"""Answers for byte-exactness tests: Markdown made from a printable seed.

`answer(seed, size_bytes)` is always the same text for the same arguments, is exactly that long in UTF-8, and is already
in the normal form of `relay.browser.markdown`, so that even the driver that reads the rendered page must give it back
unchanged.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

CONSTRUCTS = (
    "english", "chinese", "emoji", "emphasis", "code_span", "code_ticks", "links", "images", "literals", "angles",
    "dollars", "escapes", "breaks", "soft_breaks", "headings", "lists", "nested", "loose", "tasks", "tables",
    "cell_breaks", "code", "fences", "quotes", "math", "inline_math", "rules",
)  # fmt: skip

_ENGLISH = """
the of and to in is that it was for on are with as his they be at one have this from or had by hot but
some what there we can out other were all your when up use word how said an each she which do their time
if will way about many then them would write like so these her long make thing see him two has look more
day could go come did my
""".split()  # noqa: SIM905
_CHINESE = (
    "的一是不了人我在有他这为之大来以个中上们到说国和地也子时道出而要于就下得可你年生自会那后能对着事其里"
    "所去行过家十用发天如然作方成者多日都三小军二无同么经法当起与好看学进种将还分此心前面又定见只主没公从"
)
_EMOJI = ["😀", "🚀", "👩‍💻", "🇨🇳", "❤️", "🎉", "🧪", "✅", "𝛼", "🤖"]
_LITERALS = [
    "a_b", "snake_case_name", "2 * 3", "AT&T", "#tag", "C:\\dir", "1.5", "100%", "f(x)", "[sic]", "R&D",
    "a+b=c", "key: value", "@home", "{a}", "“quoted”", "it's", "v1.2.3", "e.g.", "—",
]  # fmt: skip
_ESCAPES = ["\\*star\\*", "\\<div>", "\\&amp;", "\\_word\\_", "\\`tick\\`", "\\[a](b)", "\\~gone\\~"]
_LINE_ESCAPES = ["1\\. not a list", "\\# not a heading", "\\- not an item", "\\> not a quote", "\\+ plus"]
_TEX = [
    "a_1",
    "x^2 + y^2",
    "\\frac{a}{b}",
    "\\alpha \\cdot \\beta",
    "f(x) = \\sqrt{x}",
    "\\{1, 2\\}",
    "e^{i\\pi} + 1 = 0",
]
_DISPLAY = [
    "\\int_0^1 x\\,dx = \\frac{1}{2}",
    "\\begin{aligned}\na &= b \\\\\nc &= d * e\n\\end{aligned}",
    "\\sum_{n=1}^{\\infty} \\frac{1}{n^2}",
]
_LANGUAGES = ["python", "js", "c++", "rust", "json", "bash", "", "text", "html"]
_CODE = [
    "def f(x):", "    return x ** 2", "", "# comment *not* emphasis", "if (a < b && c > d) {", "}",
    "<div class=\"a\">&amp;</div>", "print(\"你好\")", "a\ttab",
    "- item", "| a | b |", "$x$ and `tick`", "  trailing_underscore_", "1. one",
    "x = \"```\"", "\\\\server\\share", "😀 = 1", "> quoted",
]  # fmt: skip


def canonical(markdown: str) -> str:
    """The form in which a source and what the `dom` driver read are compared.

    It only drops blank lines at both ends. What `answer()` makes needs no more; of Markdown from elsewhere the rendered
    page does not tell (and the driver writes in its own way): setext headings, `*`/`+` bullets, `_` emphasis, indented
    and tilde code, fences longer than needed, reference links, angle brackets around addresses, table padding, needless
    escapes, backslash breaks, display maths on one line, and lists that are partly loose.
    """
    return markdown.strip("\n")


def answer(seed: int | str, size_bytes: int, constructs: tuple[str, ...] = CONSTRUCTS) -> str:
    """An answer of exactly `size_bytes` UTF-8 bytes (1 to some MB) that uses the named `CONSTRUCTS`."""
    if size_bytes < 1 or not set(constructs) <= set(CONSTRUCTS):
        raise ValueError(f"size {size_bytes}, constructs {constructs}")
    made: list[str] = []
    size, kind = 0, ""
    generator = _Generator(random.Random(f"{seed}"), frozenset(constructs))
    for block_kind, block in generator.blocks():
        if block_kind == kind == "list":
            continue
        more = len(block.encode()) + (2 if made else 0)
        if size + more == size_bytes:
            return "\n\n".join([*made, block])
        if size + more + 3 > size_bytes:
            break
        made.append(block)
        size, kind = size + more, block_kind
    made.append(generator.filler(size_bytes - size - (2 if made else 0)))
    return "\n\n".join(made)


class _Generator:
    def __init__(self, rng: random.Random, constructs: frozenset[str]) -> None:
        self.rng = rng
        self.has = constructs

    def blocks(self) -> Iterator[tuple[str, str]]:
        """Endless blocks with their kinds."""
        kinds = ["text", "text", "text"]
        kinds += [k for k in ("headings", "tables", "code", "fences", "quotes", "rules") if k in self.has]
        kinds += ["list"] * (2 * ("lists" in self.has)) + ["math"] * ("math" in self.has)
        while True:
            kind = self.rng.choice(kinds)
            yield kind, self.block(kind)

    def block(self, kind: str) -> str:
        match kind:
            case "headings":
                return "#" * self.rng.randint(1, 6) + " " + self.sentence(short=True)
            case "tables":
                return self.table()
            case "code":
                return self.code()
            case "fences":
                return f"````markdown\n{self.words(3)}\n\n{self.code()}\n\n{self.words(2)}\n````"
            case "quotes":
                return self.quote()
            case "rules":
                return "---"
            case "math":
                return f"$$\n{self.rng.choice(_DISPLAY)}\n$$"
            case "list":
                return self.list(0, "loose" in self.has and self.rng.random() < 0.4)
        return self.paragraph()

    def filler(self, size_bytes: int) -> str:
        """Plain ASCII words of exactly that many bytes."""
        words = " ".join(self.rng.choice(_ENGLISH) for _ in range(size_bytes // 3 + 2))[:size_bytes]
        return words[:-1] + "x" if words.endswith(" ") else words

    # -- text ----------------------------------------------------------------------------------------------------

    def words(self, count: int) -> str:
        chinese = "chinese" in self.has and ("english" not in self.has or self.rng.random() < 0.4)
        if chinese:
            return "".join(self.rng.choice(_CHINESE) for _ in range(count * 2))
        return " ".join(self.rng.choice(_ENGLISH) for _ in range(count))

    def inline(self) -> str:
        """A word or two, perhaps decorated."""
        plain = self.words(self.rng.randint(1, 3))
        choices = [plain] * 6
        if "emphasis" in self.has:
            choices += [
                f"*{plain}*",
                f"**{plain}**",
                f"~~{plain}~~",
                f"**{plain} *{self.words(1)}* {self.words(1)}**",
                f"***{plain}***",
            ]
        if "code_span" in self.has:
            choices += [f"`{plain}`", "`a_b < *c*`", "`&amp;`"]
        if "code_ticks" in self.has:
            choices += ["``a`b``", "`` ` ``"]
        if "links" in self.has:
            choices += [
                f"[{plain}](https://example.org/a_b?c=d&e=f)",
                "https://example.org/x_y/",
                f'[{plain}](/p "a title")',
            ]
        if "images" in self.has:
            choices.append(f"![{plain}](https://example.org/i.png)")
        if "literals" in self.has:
            choices += self.rng.sample(_LITERALS, 3)
        if "angles" in self.has:
            choices.append(self.rng.choice(["x < 3", "x > 2"]))
        if "dollars" in self.has:
            choices.append("$5")
        if "escapes" in self.has:
            choices.append(self.rng.choice(_ESCAPES))
        if "emoji" in self.has:
            choices.append(self.rng.choice(_EMOJI))
        if "inline_math" in self.has:
            choices.append(f"${self.rng.choice(_TEX)}$")
        return self.rng.choice(choices)

    def sentence(self, *, short: bool = False) -> str:
        """Begins with a plain word, so that it may begin a line; no `$5`, `a*` or `~5` that would pair with another."""
        parts = [self.words(1)]
        for _ in range(self.rng.randint(1, 3 if short else 10)):
            part = self.inline()
            unpaired = part in ("$5", "^_^")
            if not (unpaired and (short or any(part[0] in seen or part[-1] in seen for seen in parts))):
                parts.append(part)
        return " ".join(parts) + (self.rng.choice([" end.", "。", " yes!", " so?"]) if not short else " end")

    def paragraph(self) -> str:
        start = self.rng.choice(_LINE_ESCAPES) + " " if "escapes" in self.has and self.rng.random() < 0.1 else ""
        text = self.sentence()
        for _ in range(self.rng.choice([0, 0, 1, 2, 4])):
            glue = [" ", " ", "\n"] if "soft_breaks" in self.has else [" "]
            if "breaks" in self.has and self.rng.random() < 0.2:
                glue = ["  \n"]
            following = self.sentence()
            if any(lone in text + following for lone in ("$5", "^_^")):
                break
            text += self.rng.choice(glue) + following
        return start + text

    # -- blocks --------------------------------------------------------------------------------------------------

    def list(self, depth: int, loose: bool) -> str:
        ordered = self.rng.random() < 0.4
        number = 1 if depth else self.rng.choice([1, 1, 1, 3, 99])
        items = []
        for index in range(self.rng.randint(2, 4)):
            bullet = f"{number + index}. " if ordered else "- "
            task = self.rng.choice(["[ ] ", "[x] "]) if "tasks" in self.has and self.rng.random() < 0.2 else ""
            body = task + self.sentence(short=True)
            if "nested" in self.has and depth < 2 and self.rng.random() < 0.25:
                body += "\n" + self.list(depth + 1, False)
            elif loose and self.rng.random() < 0.4:
                body += "\n\n" + (self.code() if "code" in self.has and self.rng.random() < 0.6 else self.paragraph())
            items.append(bullet + _indent(body, " " * len(bullet)))
        return ("\n\n" if loose else "\n").join(items)

    def quote(self) -> str:
        blocks = [self.paragraph()]
        if "lists" in self.has and self.rng.random() < 0.4:
            blocks.append(self.list(1, False))
        elif self.rng.random() < 0.4:
            blocks.append("> " + self.sentence())
        return "> " + _indent("\n\n".join(blocks), "> ").replace("\n\n", "\n>\n")

    def table(self) -> str:
        width = self.rng.randint(1, 4)
        rules = [self.rng.choice(["---", ":---", "---:", ":---:"]) for _ in range(width)]
        rows = [[self.cell() for _ in range(width)] for _ in range(self.rng.randint(1, 5))]
        lines = [[self.words(1) for _ in range(width)], rules, *rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def cell(self) -> str:
        special = ["x\\|y", "`a\\|b`", "", *(["a<br>b"] if "cell_breaks" in self.has else [])]
        return self.rng.choice([*special, self.inline(), self.words(1), self.words(2)])

    def code(self) -> str:
        lines = [self.rng.choice(_CODE) for _ in range(self.rng.choice([1, 2, 5, 12]))]
        language = self.rng.choice(_LANGUAGES)
        return f"```{language}\n" + "\n".join(line for line in [*lines, "end"]) + "\n```"


def _indent(text: str, rest: str) -> str:
    first, *lines = text.split("\n")
    return "\n".join([first, *(rest + line if line else line for line in lines)])
