"""The commands and their options; what they do is in the modules beside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from relay import __version__
from relay.cli.console import state

# Plain help: it keeps the lines of the settings' table, and starts faster.
app = typer.Typer(name="relay", no_args_is_help=True, rich_markup_mode=None, add_completion=False)

Json = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"relay {__version__}")
        raise typer.Exit


@app.callback()
def relay(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks, log more.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Your own accounts at AI chat web sites, behind one OpenAI-compatible API."""
    state.debug = debug


class _WithSettings(TyperCommand):
    """A command whose help lists the settings; their model is imported only for that."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        from relay.cli.settings_help import epilog

        self.epilog = epilog()
        super().format_epilog(ctx, formatter)


@app.command(cls=_WithSettings)
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (RELAY_HOST).")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="TCP port (RELAY_PORT).")] = None,
) -> None:
    """Run the server until it is interrupted."""
    from relay.cli.serve import run_server

    run_server(host=host, port=port)


@app.command()
def demo(
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port of the server; 0 = any free one.")] = 9999,
) -> None:
    """Run the server with the built-in demo site and a logged-in account at it."""
    from relay.cli.demo import run_demo

    run_demo(port)


@app.command()
def chat(
    model: Annotated[str, typer.Argument(help="A model's name, as `GET /v1/models` lists it: demo, kimi-search...")],
    prompt: Annotated[str | None, typer.Argument(help="The prompt; without it standard input, or a dialogue.")] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option("--file", exists=True, dir_okay=False, readable=True, help="Attach a file; may be repeated."),
    ] = None,
    search: Annotated[bool, typer.Option("--search", help="Search the web.")] = False,
    think: Annotated[bool, typer.Option("--think", help="Reason first.")] = False,
    url: Annotated[str | None, typer.Option(help="The server; default: the one of this machine's settings.")] = None,
) -> None:
    """Chat in the terminal with a running server. RELAY_API_KEY is its key, if it wants one."""
    from relay.cli.chat import run_chat

    raise typer.Exit(run_chat(model, prompt, list(file or ()), search=search, think=think, url=url))


@app.command()
def sites(
    site: Annotated[str | None, typer.Argument(metavar="[ID]", help="One site only.")] = None,
    as_json: Json = False,
) -> None:
    """List the sites: what they can do, by which drivers, and which accounts are set up."""
    from relay.cli.sites import show_sites

    show_sites(site, as_json=as_json)


@app.command()
def doctor(
    site: Annotated[str | None, typer.Argument(metavar="[SITE]", help="One site; else each with an account.")] = None,
    account: Annotated[str | None, typer.Option(help="The account; else the first that is not disabled.")] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", dir_okay=False, help="Write a Markdown report, with its picture beside it."),
    ] = None,
) -> None:
    """Try step by step whether sites still are as relay knows them, on real accounts. It sends small chats."""
    from relay.cli.doctor import run_doctor

    raise typer.Exit(run_doctor(site, account, report))
