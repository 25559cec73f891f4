"""What the commands share with the terminal."""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass
class State:
    """Options of `relay` itself."""

    debug: bool = False


state = State()


def say(message: str) -> None:
    """One line for a person: on standard error, so that what a program reads stays alone on standard output."""
    print(message, file=sys.stderr, flush=True)


def complain(message: str) -> None:
    """One line on standard error."""
    say(f"relay: {message}")
