"""`benchmarks.svg`: the relay beside the fastest relay known, drawn by hand; readable on light and dark pages."""

from __future__ import annotations

from html import escape

from scripts.benchmarks.figures import RIVAL, RIVAL_EACH_MIB, Figures, shown
from scripts.benchmarks.report import number

WIDTH = 760
LEFT, RIGHT = 200, 80
BAR, GAP, PANEL_GAP, TOP = 14, 4, 26, 64
PANELS = (
    ("first_token_p50", "first token, added", "ms"),
    ("first_of_8_p50", "first token of 8 at once, added", "ms"),
    ("chunk_8_p50", "per chunk at 8 streams, p50, added", "ms"),
    ("chunk_8_p99", "per chunk at 8 streams, p99, added", "ms"),
    ("end_1", "last byte to the end mark, added", "ms"),
    ("pss_fresh", "memory with one account", "MiB"),
    ("each", "memory per further account", "MiB"),
    ("cold_start", "process start to first token", "s"),
)
SERIES = (("fetch-socket", "relay, direct socket", "own"), ("fetch-pipe", "relay, pipe", "own2"))
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #24292f; }
  .title { font-size: 15px; font-weight: 600; }
  .faint { fill: #57606a; }
  .page { fill: #ffffff; }
  .own { fill: #0969da; } .own2 { fill: #80b4f0; } .rival { fill: #b9862f; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .faint { fill: #9198a1; }
    .page { fill: #0d1117; }
    .own { fill: #58a6ff; } .own2 { fill: #1f4f8a; } .rival { fill: #d29922; }
  }
"""


def _bars(key: str, subjects: dict[str, Figures], straight: Figures) -> list[tuple[str, str, float]]:
    """(name, class, value) of a panel's bars."""
    found = []
    for subject, name, style in SERIES:
        if key == "each":
            value = subjects.get("idle", {}).get("idle_pss_each") if subject == "fetch-socket" else None
        else:
            value = shown(key, subjects.get(subject, {}), straight)
        if value is not None:
            found.append((name, style, value))
    rival = RIVAL_EACH_MIB if key == "each" else RIVAL[key]
    return [*found, ("fastest other", "rival", rival)]


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    kind = f' class="{style}"' if style else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{kind}>{escape(text)}</text>'


def draw(subjects: dict[str, Figures], straight: Figures, footnote: str) -> str:
    """The whole picture. Each panel has its own scale; shorter is better in all."""
    shapes = [
        _text(16, 26, "What relay adds to the site's own time, and what it takes", "title"),
        _text(16, 45, "Each group has its own scale. Shorter is better.", "faint"),
    ]
    y = TOP
    for key, title, unit in PANELS:
        bars = _bars(key, subjects, straight)
        if len(bars) == 1:
            continue
        y += 12
        shapes.append(_text(16, y, f"{title} ({unit})"))
        y += 6
        longest = max(value for _, _, value in bars)
        for name, style, value in bars:
            length = max(1.0, (WIDTH - LEFT - RIGHT) * max(value, 0) / longest)
            shapes.append(_text(LEFT - 8, y + BAR - 3, name, "faint", "end"))
            shapes.append(
                f'<rect class="{style}" x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>'
                + _text(LEFT + length + 6, y + BAR - 3, number(value))
            )
            y += BAR + GAP
        y += PANEL_GAP - BAR
    shapes.append(_text(16, y + 14, footnote, "faint"))
    height = y + 30
    body = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="Benchmarks of relay beside the fastest relay known">\n'
        f'<style>{STYLE}</style>\n<rect class="page" width="{WIDTH}" height="{height}" rx="6"/>\n'
        f"{body}\n</svg>\n"
    )
