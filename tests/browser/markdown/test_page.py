"""Answers rendered by marked and KaTeX on a Chromium page, read back as Markdown while they grow."""

from __future__ import annotations

import random
import re

import pytest

from relay.errors import SiteChanged
from tests.browser.markdown.watched import Watched
from tests.corpus import CONSTRUCTS, answer, canonical

pytestmark = pytest.mark.asyncio(loop_scope="module")


def cut(text: str, rng: random.Random, longest: int) -> list[str]:
    """The text in random pieces."""
    pieces, at = [], 0
    while at < len(text):
        size = rng.randint(1, longest)
        pieces.append(text[at : at + size])
        at += size
    return pieces


MESSY = """Here is what I found:
- **First**: do this
- Second, which has `code`

1. Install it:
   ```sh
   pip install x
   ```

2. Run:
   - one
   - two

     with a paragraph
3. Done

Setup
-----

* star bullet
  * nested star
    continued
* another _emphasised_ __one__

Intro:
1. one
2. two

   - deep
     > quote in a list

10. ten

| Left | Right |
|:-----|------:|
| a \\| b | `c` |
| 价格：$5 | **粗体：**文字 |

> Quote with a [link](https://example.org/ref "Title") and
lazy continuation

    indented code

~~~python
tilde = "```"
~~~

Line one\\
line two and <b>html</b> text, 5 < 6 & 7 > 3. See https://example.org/a_b.

***

- [ ] todo
- [x] done

  after

Sum: $$x$$ and $a_b$.
"""


@pytest.mark.parametrize("mode", ["incremental", "replace"])
@pytest.mark.parametrize("longest", [1, 7, 60])
async def test_generated_answers_come_back_exactly(watched: Watched, mode: str, longest: int) -> None:
    for seed in range(6):
        source = answer(f"{mode}-{longest}-{seed}", min(400 * longest, (1, 2, 50, 400, 1500, 3000)[seed]))
        rng = random.Random(seed)
        await watched.observe(mode=mode, wrapped=seed % 2 == 1, bars=seed % 3 == 2, eager=seed == 3)
        read = await watched.play(cut(source, rng, longest))
        assert read == canonical(source), f"seed {mode}-{longest}-{seed}"


@pytest.mark.parametrize("construct", CONSTRUCTS)
async def test_each_construct_alone(watched: Watched, construct: str) -> None:
    base = () if construct in ("english", "chinese") else ("english",)
    extra = ("lists",) if construct in ("nested", "loose", "tasks") else ()
    source = answer(construct, 1200, (*base, *extra, construct))
    await watched.observe()
    assert await watched.play(cut(source, random.Random(1), 9)) == source


@pytest.mark.parametrize("mode", ["incremental", "replace"])
async def test_markdown_as_models_write_it_keeps_its_meaning(watched: Watched, mode: str) -> None:
    """Not in normal form, lists that turn loose late: the result renders as the source does, but for looseness."""

    def meaning(html: str) -> str:
        html = re.sub(r"</?p>", "", re.sub(r"\s+", " ", html)).replace("<b>", "<strong>").replace("</b>", "</strong>")
        return re.sub(r"\s*(</?(?:li|ul|ol|blockquote|h\d|pre|table|br)\b[^>]*>)\s*", r"\1", html).strip()

    for section in MESSY.split("\n\nSetup\n"):
        for longest in (1, 5, 40):
            await watched.observe(mode=mode, eager=longest == 1)
            source = section if section.startswith("Here") else "# Setup\n" + section.split("\n", 1)[1]
            read = await watched.play(cut(source, random.Random(longest), longest))
            assert meaning(await watched.html(read)) == meaning(await watched.html(source))


async def test_text_streams_before_its_block_is_complete(watched: Watched) -> None:
    words = " ".join(f"word{i}" for i in range(200))
    lines = "\n".join(f"line {i}" for i in range(200))
    source = f"{words}\n\n```python\n{lines}\n```\n\n{'汉字' * 200}"
    await watched.observe(eager=True)
    pieces = cut(source, random.Random(3), 10)
    assert await watched.play(pieces) == source
    assert max(map(len, watched.deltas)) < 30  # a piece, and what was held before it
    assert sum(1 for delta in watched.deltas if delta) > len(watched.updates) / 2


async def test_one_megabyte_costs_a_constant_per_block(watched: Watched) -> None:
    source = answer(2024, 1_000_000, tuple(name for name in CONSTRUCTS if "math" not in name))  # KaTeX is slow, not we
    pieces = cut(source, random.Random(0), 10_000)
    await watched.observe(eager=True)
    read = await watched.play(pieces)
    assert read == source
    blocks, reports = len(watched.stream._blocks), len(watched.updates)
    assert blocks > 4000
    assert reports > len(pieces) / 2
    assert watched.stream.conversions < blocks + 3 * reports
    assert sum(map(len, watched.updates)) < 4 * len(source)


async def test_code_bars_and_buttons_are_left_out(watched: Watched) -> None:
    await watched.observe(drop=(".cite",))
    await watched.page.evaluate(
        """() => { document.querySelector("#answer").innerHTML = `
        <p>Before<span class="cite">[1]</span> it.<button>Copy</button></p>
        <ol><li><p>fourth with code:</p><div class="box"><div class="bar"><span>Python</span>
          <div role="button">Copy</div></div><div class="scroll"><pre><code>x = 1\\n</code></pre></div></div></li></ol>
        <div class="bar"><span>bash</span><button>Copy</button></div><pre><code>ls\\n</code></pre>
        <pre><div><div class="head"><span>rust</span><button>Copy</button></div><div><code>fn</code></div></div></pre>
        <div role="toolbar">Like <button>+</button></div><p hidden>secret</p><style>p {}</style><!-- no -->
        <p>A <span role="tooltip">tip</span>formula <span class="math-inline" data-math="a_b">ab</span>.</p>`; }"""
    )
    assert await watched.close() == (
        "Before it.\n\n1. fourth with code:\n\n   ```python\n   x = 1\n   ```\n\n```bash\nls\n```\n\n"
        "```rust\nfn\n```\n\nA formula $a_b$."
    )


async def test_a_replaced_element_and_bare_text_are_followed(watched: Watched) -> None:
    await watched.observe()
    for text in ("Plain <i>text</i>", "Plain <i>text</i> that grows<br>and breaks"):
        await watched.page.evaluate(
            """(html) => { const made = document.createElement("div"); made.id = "answer"; made.innerHTML = html;
                           document.querySelector("#answer").replaceWith(made); }""",
            text,
        )
    assert await watched.close() == "Plain *text* that grows  \nand breaks"


async def test_a_rewritten_answer_is_an_error_at_the_end(watched: Watched) -> None:
    await watched.observe()
    await watched.page.evaluate("() => { chat.grow('One thing is certain.\\n\\nAnd more of it follows.'); }")
    await watched.page.evaluate("() => { watch.flush(); document.querySelector('#answer p').textContent = 'No.'; }")
    with pytest.raises(SiteChanged, match=r"No\."):
        await watched.close()
    assert "".join(watched.deltas).startswith("One thing is certain.\n\nAnd more")


async def test_a_passing_rewrite_is_forgiven(watched: Watched) -> None:
    await watched.observe()
    await watched.page.evaluate(
        """async () => { chat.grow('One thing.\\n\\nAnd another one'); watch.flush();
                         const html = chat.place.innerHTML;
                         chat.place.innerHTML = ''; watch.flush(); chat.place.innerHTML = html; }"""
    )
    assert await watched.close() == "One thing.\n\nAnd another one"


async def test_only_changed_blocks_are_reported(watched: Watched) -> None:
    for mode in ("incremental", "replace"):
        await watched.observe(mode=mode)
        await watched.page.evaluate("() => { chat.grow('one\\n\\ntwo\\n\\nthree'); watch.flush(); }")
        await watched.page.evaluate("() => { chat.grow(' more'); watch.flush(); }")
        assert await watched.close() == "one\n\ntwo\n\nthree more"
        assert watched.updates[-1] == '{"n":3,"changed":[[2,"<p>three more</p>"]]}'


async def test_nothing_is_leaked_into_the_page(watched: Watched) -> None:
    names = "() => Object.getOwnPropertyNames(window).length"
    await watched.observe()
    before = await watched.page.evaluate(names)
    await watched.page.evaluate("() => { chat.grow('x'); watch.flush(); }")
    assert await watched.page.evaluate(names) == before
