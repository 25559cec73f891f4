"""What the scripted model says: English, or Chinese where the prompt has Chinese characters. Pure text in, text out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_HAN = re.compile(r"[\u3400-\u9fff]")
_QUOTE_CHARS = 300
_TITLE_CHARS = 60


def is_chinese(text: str) -> bool:
    """Whether any Han character is in it."""
    return _HAN.search(text) is not None


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, with an ellipsis where something was cut."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def title(prompt: str) -> str:
    """What it is about: its first line without marks, shortened."""
    lines = prompt.strip().splitlines() or [""]
    return shorten(re.sub(r"[#>*_`\[\]$|<]+", "", lines[0]).strip() or "…", _TITLE_CHARS)


def _quote(prompt: str) -> str:
    return "\n".join(f"> {line}" for line in shorten(prompt.strip(), _QUOTE_CHARS).splitlines() or [""])


def search_query(prompt: str) -> str:
    """The words that the searcher looks for."""
    return title(prompt)


def reasoning(prompt: str) -> str:
    """A train of thought, plain text."""
    if is_chinese(prompt):
        return f"用户的问题是：“{title(prompt)}”。\n先弄清楚要点，再举一个例子，最后给出简短的结论。"
    return (
        f"The user writes: “{title(prompt)}”.\n"
        "First find out what matters, then give an example, then sum up in a sentence."
    )


def refusal(prompt: str) -> str:
    """The message of a refused prompt."""
    return "抱歉，我无法回答这个问题。" if is_chinese(prompt) else "Sorry, I cannot help with that."


def short(prompt: str) -> str:
    """One plain paragraph."""
    if is_chinese(prompt):
        return f"这是关于“{title(prompt)}”的简短回答，它只有一段文字，没有标题，也没有表格。"
    return f"A short answer about “{title(prompt)}”: one plain paragraph, without headings or tables."


def attachment_line(name: str, size: int, sha256: str, first_line: str) -> str:
    """A list item that proves what arrived of an uploaded file; `size` in bytes."""
    line = f"- `{name}`: {size} bytes, sha256 `{sha256}`"
    return f"{line}, first line: `{first_line}`" if first_line else line


def sources(prompt: str) -> list[dict[str, Any]]:
    """Three pages that do not exist, on names reserved for examples."""
    about = title(prompt)
    pages = (
        ("https://example.com/overview", "An overview", f"What there is to know about {about}"),
        ("https://example.org/guide?page=2", "A practical guide", f"Step by step: {about}"),
        ("https://example.net/faq", "Questions and answers", f"Often asked about {about}"),
    )
    return [
        {"url": url, "title": name, "snippet": snippet, "index": number}
        for number, (url, name, snippet) in enumerate(pages, start=1)
    ]


def answer(prompt: str, earlier: Sequence[str], attachments: Sequence[str], *, cited: bool) -> str:
    """Markdown with all that a chat page must render; `cited` adds [n] marks for `sources`."""
    chinese = is_chinese(prompt)
    template = _CHINESE if chinese else _ENGLISH
    marks = ("[1]", "[2]", "[3]") if cited else ("", "", "")
    text = template.format(title=title(prompt), quote=_quote(prompt), one=marks[0], two=marks[1], three=marks[2])
    if earlier:
        last = title(earlier[-1])
        number = len(earlier) + 1
        text += (
            f"\n这是本次对话的第 {number} 轮，上一轮你问的是：“{last}”。\n"
            if chinese
            else f"\nThis is turn {number} of our conversation; before it you wrote: “{last}”.\n"
        )
    if attachments:
        heading = "附件" if chinese else "Attachments"
        text += f"\n## {heading}\n\n" + "\n".join(attachments) + "\n"
    return text


_ENGLISH = r"""# About “{title}”

You wrote:

{quote}

This is the **demo model**: it reads your prompt, *understands nothing* and answers in `Markdown` all the same{one}.
More about that on [an example page](https://example.com/).

## In short

1. Every answer is scripted, so it never costs anything.
2. The page is a real one{two}:
   - it logs you in,
   - it streams the answer.
3. What you see went over the network in small pieces.

## An example

```python
def greet(name: str) -> str:
    return f"Hello, {{name}}!"


print(greet("world"))
```

## Side by side

| Part | Real | Scripted |
|---|:---:|---:|
| Page | yes | no |
| Model | no | yes |

## Some mathematics

The area under $x^2$ between 0 and 1 is

$$
\int_0^1 x^2 \, dx = \frac{{1}}{{3}}
$$

and that is all{three}.
"""

_CHINESE = r"""# 关于“{title}”

你写道：

{quote}

这是**演示模型**：它读了你的问题，*什么也没有理解*，但仍然用 `Markdown` 回答{one}。
更多内容见[示例页面](https://example.com/)。

## 要点

1. 每个回答都是事先写好的，不花一分钱。
2. 页面是真实的{two}：
   - 可以登录，
   - 可以流式输出。
3. 你看到的内容是一小段一小段传过来的。

## 示例

```python
def greet(name: str) -> str:
    return f"你好，{{name}}！"


print(greet("世界"))
```

## 对比

| 部分 | 真实 | 脚本 |
|---|:---:|---:|
| 页面 | 是 | 否 |
| 模型 | 否 | 是 |

## 一点数学

$x^2$ 在 0 到 1 之间的面积是

$$
\int_0^1 x^2 \, dx = \frac{{1}}{{3}}
$$

就是这样{three}。
"""
