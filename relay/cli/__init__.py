"""The `relay` command. Exit status: 0 done, 1 failed, 2 wrong use; a traceback only with `--debug`."""

from __future__ import annotations

import sys

from relay.cli.commands import app
from relay.cli.console import complain, state
from relay.errors import BadRequest, RelayError, Unauthorized

__all__ = ["app", "main", "run"]


def main() -> None:
    """The entry point."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; its exit status."""
    try:
        app(arguments, prog_name="relay")
    except SystemExit as done:  # typer ends so, after it has said what was wrong with the arguments
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    except Exception as error:
        if state.debug:
            raise
        return _explain(error)
    return 0


def _explain(error: Exception) -> int:
    """Say what went wrong in a line; the exit status."""
    from pydantic import ValidationError

    match error:
        case ValidationError():
            first = error.errors(include_url=False, include_input=False)[0]
            complain(f"setting {'.'.join(map(str, first['loc'])) or '?'}: {first['msg']}")
            return 2
        case BadRequest() | Unauthorized():
            complain(error.message)
            return 2
        case RelayError():
            complain(error.message)
            return 1
        case _:
            complain(f"{type(error).__name__}: {error} (--debug shows where)")
            return 1
