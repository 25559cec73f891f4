"""What the commands share with the terminal."""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass
class State:
    """Options of `relay` itself."""

    debug: bool = False


state = State()


def complain(message: str) -> None:
    """One line on standard error."""
    print(f"relay: {message}", file=sys.stderr, flush=True)
