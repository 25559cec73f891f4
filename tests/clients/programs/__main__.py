"""`scripts/clients`: real programs against a real relay, and what came of it in docs/clients.md."""

from __future__ import annotations

import argparse
import datetime
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Error as BrowserError

from tests.clients.exchange import Exchange
from tests.clients.programs import aider, claude_code, codex, open_webui
from tests.clients.programs.place import Place
from tests.clients.programs.report import PAGE, Result, with_rows
from tests.clients.tap import Tap
from tests.e2e.world import World

TEACH = """\
codex        OpenAI's agent runs a command
claude-code  Anthropic's agent writes a file, and reads it
aider        an editor edits a file, and commits it
open-webui   a chat UI, in a browser

Each is installed, pinned, into .cache (npm is needed, and up to a gigabyte and a half), and runs in a folder of its own
without network, against the demo site behind a `relay serve`. Everything that relay answers is checked against the
descriptions of the APIs. The exit status is 1 where a program could not do its work or an answer was not valid.
"""


@dataclass(frozen=True)
class Program:
    """`install` gives what `use` runs; that says what the program did, or raises AssertionError."""

    title: str
    install: Callable[[], Path]
    use: Callable[[Path, Place], str]
    version: Callable[[Path], Sequence[str | Path]] = lambda executable: (executable, "--version")
    """The command that prints its version."""


PROGRAMS = {
    "codex": Program("Codex CLI", codex.install, codex.use),
    "claude-code": Program("Claude Code", claude_code.install, claude_code.use),
    "aider": Program("aider", aider.install, aider.use),
    "open-webui": Program("Open WebUI", open_webui.install, open_webui.use, open_webui.version),
}


@contextmanager
def place() -> Iterator[Place]:
    """A relay with the demo site, behind a tap, and empty folders."""
    with (
        tempfile.TemporaryDirectory(prefix="client-") as folder,
        World() as world,
        world.server("fetch", sites="demo", RELAY_SIDE_CALLS="local") as server,
        Tap(int(server.url.rpartition(":")[2])) as tap,
    ):
        made = Place(tap, Path(folder).resolve() / "home", Path(folder).resolve() / "project")
        made.home.mkdir()
        made.project.mkdir()
        yield made


def run(program: Program) -> Result:
    """Install it, and have it do its work."""
    executable = program.install()
    with place() as here:
        version = re.search(r"\d+(\.\d+)+", here.run(*program.version(executable)))
        did, failed = "", ""
        try:
            did = program.use(executable, here)
        except (AssertionError, BrowserError, subprocess.TimeoutExpired) as error:
            failed = str(error)
        heard = here.gather()
    return Result(
        program.title,
        version[0] if version else "unknown",
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
        did,
        Counter(f"{each.method} {each.path}" for each in heard),
        list(_faults(heard)),
        failed,
    )


def _faults(heard: Iterable[Exchange]) -> Iterator[str]:
    for each in heard:
        try:
            each.check()
        except AssertionError as error:
            yield f"{each}: {error}"


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="scripts/clients", description=TEACH, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="PROGRAM", default=[], help="all, if none is named")
    parser.add_argument("--no-page", action="store_true", help="do not write docs/clients.md")
    options = parser.parse_args()
    names = list(PROGRAMS) if options.names in ([], ["all"]) else options.names
    if unknown := [name for name in names if name not in PROGRAMS]:
        parser.error(f"no program is called {' or '.join(unknown)}; there are {', '.join(PROGRAMS)}")
    results = []
    for name in names:
        print(f"{name} …", flush=True)
        results.append(run(PROGRAMS[name]))
        print(results[-1].row(), *results[-1].faults, results[-1].failed, sep="\n", flush=True)
    if not options.no_page:
        order = [program.title for program in PROGRAMS.values()]
        PAGE.write_text(with_rows(PAGE.read_text("utf-8"), results, order), "utf-8")
        print(f"written: {PAGE}")
    sys.exit(not all(result.holds for result in results))


if __name__ == "__main__":
    main()
