"""`python -m scripts.benchmarks.unprepared serve`: the relay, but nothing is done ahead of a chat.

What is left out is what `scripts.benchmarks.sites` measures the worth of: a used page waits as its answer left it, and
DeepSeek's sessions and proofs are made when they are needed.
"""

from __future__ import annotations

from typing import Any

from relay.cli import main
from relay.pool.leases import Leases
from relay.sites.deepseek.stock import Stock


async def _nothing(*_: Any) -> None:
    """In place of what is done ahead."""


def leave_out() -> None:
    """Patch this process."""
    Stock.fill = _nothing  # type: ignore[method-assign,assignment]
    Leases._reset = _nothing  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    leave_out()
    main()
