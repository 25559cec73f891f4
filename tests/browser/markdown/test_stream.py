"""`MarkdownStream` alone: HTML in, deltas out."""

from __future__ import annotations

import pytest

from relay.browser.markdown import MarkdownStream
from relay.errors import SiteChanged
from tests.corpus import CONSTRUCTS, answer


def markdown(*blocks: str, line_break: str = "  \n") -> str:
    stream = MarkdownStream(line_break=line_break)
    return stream.feed({"n": len(blocks), "changed": list(enumerate(blocks))}) + stream.close()


def growing(html: str) -> str:
    return MarkdownStream().feed({"n": 1, "changed": [(0, html)]})


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("a_b 2 * 3 x &lt; 3 AT&amp;T #tag [x] C:\\dir $5", "a_b 2 * 3 x < 3 AT&T #tag [x] C:\\dir $5"),
        ("*a* _b_ ~~c~~ `d` a*", "\\*a\\* \\_b\\_ \\~\\~c\\~\\~ \\`d\\` a\\*"),
        ("&lt;div&gt; &amp;lt; [a](b) a\\_b\\", "\\<div> \\&lt; \\[a](b) a\\\\_b\\\\"),
        ("1. x", "1\\. x"),
        ("a\n- b\n# c\n===\n| - |\n1986 was", "a\n\\- b\n\\# c\n\\===\n| \\- |\n1986 was"),
        ("<strong>a </strong>b<em>c</em><em>d</em>", "**a** b*c*_d_"),
        ("<code>a`b</code> <code>`</code> <code> </code>", "``a`b`` `` ` `` ` `"),
        ('<a href="https://x.org/">https://x.org/</a>。', "<https://x.org/>。"),
        ('<a href="u v" title="t">a ] b</a> !<a href="u">x</a>', '[a \\] b](<u v> "t") \\![x](u)'),
        ('<a>no</a> <a href="javascript:x">link</a> <img src="data:x">', "no link"),
        ("a \n  b  c\u00a0d<br> e<br><br>f", "a\nb  c\u00a0d  \ne\n\nf"),
        ("x<sup>2</sup> <span><b>bold</b></span>", "x<sup>2</sup> **bold**"),
        ("<relay-tex>a_b \\\\ c</relay-tex> and <relay-tex block>d</relay-tex>", "$a_b \\\\ c$ and $$d$$"),
        ('<span><relay-tex block="">d</relay-tex></span>', "$$\nd\n$$"),
    ],
)
def test_inline(html: str, expected: str) -> None:
    assert markdown(f"<p>{html}</p>") == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<h2>a\nb #</h2>", "## a b \\#"),
        ("<pre><code></code></pre>", "```\n```"),
        ('<pre><code class="hljs language-c++">```\nx</code></pre>', "````c++\n```\nx\n````"),
        ("<pre><span>a</span><br><span>b</span></pre>", "```\na\nb\n```"),
        ('<ol start="9"><li>a</li><li><p>b</p><p>c</p></li></ol>', "9. a\n\n10. b\n\n    c"),
        ("<ul><li># a</li><li>[ ] b</li><li></li></ul>", "- \\# a\n- \\[ ] b\n-"),
        ("<ul><li>a<ol><li>b</li></ol>c</li></ul>", "- a\n  1. b\n\n  c"),
        ("<blockquote><p>a</p><pre>b\n\nc</pre></blockquote>", "> a\n>\n> ```\n> b\n>\n> c\n> ```"),
        ('<table><tr><th>a</th><th style="text-align: right">b</th></tr></table>', "| a | b |\n| --- | ---: |"),
        ("<details><summary>s</summary><p>x</p></details>", "<details>\n<summary>s</summary>\n\nx\n\n</details>"),
        ("<div><p>a</p>b <i>c</i><section><p>d</p></section></div>", "a\n\nb *c*\n\nd"),
    ],
)
def test_blocks(html: str, expected: str) -> None:
    assert markdown(html) == expected


def test_neighbours_stay_apart() -> None:
    lists = ("<ul><li>a</li></ul>", "<ul><li>b</li></ul>", "<ol><li>c</li></ol>", "", "<ol><li>d</li></ol>")
    assert markdown(*lists) == "- a\n\n* b\n\n1. c\n\n1) d"
    assert markdown("<p>a<br>b</p>", line_break="\n") == "a\nb"


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>one two</p>", "one"),
        ("<p>你好，世界</p>", "你好，世界"),
        ("<p>a **b c</p>", "a"),
        ("<p>a <b>b c</b></p>", "a"),
        ("<p>a <b>b c</b> d</p>", "a **b c**"),
        ("<p>see [a b</p>", "see"),
        ("<p>costs $5 to</p>", "costs"),
        ("<p>text\n| a | b</p>", "text"),
        ("<p>text\n===</p>", "text"),
        ("<p>text\n1. </p>", "text"),
        ("<h2>Intro:</h2>", ""),
        ("<hr>", ""),
        ("<pre><code class='language-py'>a\nb\n</code></pre>", "```py\na"),
        ("<pre><code class='language-markdown'>a\nb\n</code></pre>", ""),
        ("<ul><li>a</li><li>b c</li></ul>", "- a\n- b"),
        ("<ul><li>a</li><li></li></ul>", "- a"),
        ("<table><tr><th>a</th></tr><tr><td>b</td></tr></table>", "| a |\n| --- |"),
    ],
)
def test_a_growing_block_yields_what_cannot_change(html: str, expected: str) -> None:
    assert growing(html) == expected


def test_a_list_keeps_the_looseness_it_was_sent_with() -> None:
    stream = MarkdownStream()
    text = stream.feed({"n": 1, "changed": [(0, "<ul><li>a</li><li>b c</li></ul>")]})
    text += stream.feed({"n": 1, "changed": [(0, "<ul><li><p>a</p></li><li><p>b c</p><p>d</p></li></ul>")]})
    assert text + stream.close() == "- a\n- b c\n\n  d"


def test_a_list_that_takes_up_the_next_paragraph() -> None:
    stream = MarkdownStream()
    text = stream.feed({"n": 2, "changed": [(0, "<ol><li>a</li></ol>"), (1, "<p>2</p>")]})
    text += stream.feed({"n": 1, "changed": [(0, "<ol><li><p>a</p></li><li><p>b</p></li></ol>")]})
    assert text + stream.close() == "1. a\n\n2. b"


def test_a_blank_last_block_does_not_end_the_one_before() -> None:
    stream = MarkdownStream()
    text = stream.feed({"n": 2, "changed": [(0, "<p>one *tw</p>"), (1, "<div> </div>")]})
    assert text == "one"
    text += stream.feed({"n": 2, "changed": [(0, "<p>one <em>two</em></p>")]})
    assert text + stream.close() == "one *two*"


def test_blocks_that_are_wrapped_and_unwrapped_while_they_grow() -> None:
    stream = MarkdownStream()
    text = stream.feed({"n": 3, "changed": [(0, ""), (1, "<p>one</p>"), (2, "<p>two three</p>")]})
    text += stream.feed({"n": 2, "changed": [(0, "<div><p>one</p><p>two three</p></div>"), (1, "<p>four five</p>")]})
    text += stream.feed({"n": 3, "changed": [(0, "<p>one</p>"), (1, "<p>two three</p>"), (2, "<p>four five six</p>")]})
    assert text == "one\n\ntwo three\n\nfour five"
    assert text + stream.close() == "one\n\ntwo three\n\nfour five six"


def test_a_site_that_takes_common_indentation_away_until_it_is_no_longer_common() -> None:
    stream = MarkdownStream(dedented=True)
    assert stream.feed({"n": 1, "changed": [(0, "<ul><li>a b</li><li>c</li></ul>")]}) == ""
    assert stream.feed({"n": 2, "changed": [(0, "<ul><li>a b<ul><li>c</li></ul></li></ul>"), (1, "<p>d e</p>")]}) == ""
    assert stream.close() == "- a b\n  - c\n\nd e"

    code = MarkdownStream(dedented=True)
    assert code.feed({"n": 1, "changed": [(0, "<pre><code>a\nb\nc</code></pre>")]}) == ""
    changed = [(0, "<pre><code>  a\n  b\n</code></pre>"), (1, "<p>c d</p>")]
    assert code.feed({"n": 2, "changed": changed}) == "```\n  a\n  b\n```\n\nc"

    prose = MarkdownStream(dedented=True)
    assert prose.feed({"n": 2, "changed": [(0, "<p>a</p>"), (1, "<ul><li>b c</li></ul>")]}) == "a\n\n- b"


def test_a_vanished_block_is_an_error_only_at_the_end() -> None:
    stream = MarkdownStream()
    stream.feed({"n": 2, "changed": [(0, "<p>one two</p>"), (1, "<p>three four</p>")]})
    assert stream.feed({"n": 1, "changed": []}) == ""
    with pytest.raises(SiteChanged):
        stream.close()


def test_an_empty_answer() -> None:
    assert markdown() == markdown("") == ""


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000, 4097, 100_000])
def test_the_corpus_is_reproducible_and_of_exact_size(size: int) -> None:
    text = answer("seed", size)
    assert text == answer("seed", size)
    assert len(text.encode()) == size
    assert text == text.strip()
    assert len(answer(5, size, CONSTRUCTS[:1]).encode()) == size
