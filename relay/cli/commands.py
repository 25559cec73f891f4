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


Account = Annotated[str | None, typer.Option("--account", help="The account's name; default: the site's only one.")]
Url = Annotated[
    str | None,
    typer.Option(help="A server elsewhere (RELAY_API_KEY is its key); default: the one that runs on this home."),
]


@app.command()
def login(
    site: Annotated[str, typer.Argument(metavar="SITE", help="A site's id: `relay sites` lists them.")],
    account: Account = None,
    remote: Annotated[
        bool, typer.Option("--remote", help="Print the one-time address of a login page, for another device.")
    ] = False,
    url: Url = None,
) -> None:
    """Log an account in, in a window that closes by itself; the server may go on running meanwhile."""
    from relay.cli.login import run_login

    raise typer.Exit(run_login(site, account, url, remote=remote))


accounts = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Your accounts: how they stand, add, check...")
app.add_typer(accounts, name="accounts")
Names = Annotated[list[str], typer.Argument(metavar="ACCOUNT...", help="<site>/<account>, or a site with one account.")]


@accounts.command("list")
def list_accounts(url: Url = None, as_json: Json = False) -> None:
    """List them: state, chats under way, open pages, and why one takes no chat."""
    from relay.cli.accounts import list_accounts as run

    run(url, as_json=as_json)


@accounts.command("add")
def add_account(
    site: Annotated[str, typer.Argument(metavar="SITE", help="A site's id: `relay sites` lists them.")],
    account: Annotated[str, typer.Option("--account", help="A name for it, of your choice.")] = "default",
    token_stdin: Annotated[
        bool, typer.Option("--token-stdin", help="Log in with a token from standard input (a terminal asks for it).")
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option("--state", help="Log in with a file: browser state, exported cookies, `relay accounts export`."),
    ] = None,
    base_url: Annotated[str, typer.Option("--base-url", help="The site's address, where it has none of its own.")] = "",
    proxy: Annotated[str, typer.Option("--proxy", help="http://host:port or socks5://host:port")] = "",
    label: Annotated[str, typer.Option("--label", help="A note for you.")] = "",
) -> None:
    """Add an account, or give one a new login. Without a login it waits for `relay login`."""
    from relay.cli.add_account import NewAccount
    from relay.cli.add_account import add_account as run

    raise typer.Exit(run(NewAccount(site, account, token_stdin, state, base_url, proxy, label)))


def _act(verb: str, names: list[str], url: str | None, as_json: bool, every: bool = False) -> None:
    from relay.cli.accounts import act

    raise typer.Exit(act(verb, names, url, as_json=as_json, every=every))  # type: ignore[arg-type]


@accounts.command("check")
def check_accounts(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[ACCOUNT...]", help="<site>/<account>; all, if none is named.")
    ] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Ask the sites whether the logins live. Exit status 1 if one does not."""
    _act("check", names or [], url, as_json, every=True)


@accounts.command("park")
def park_accounts(names: Names, url: Url = None, as_json: Json = False) -> None:
    """Take accounts out of service until they are resumed; answers under way end as they would."""
    _act("park", names, url, as_json)


@accounts.command("resume")
def resume_accounts(names: Names, url: Url = None, as_json: Json = False) -> None:
    """Put accounts back to service: rests and parking are forgotten, the login is checked."""
    _act("resume", names, url, as_json)


@accounts.command("remove")
def remove_accounts(
    names: Names,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Remove accounts with their logins from this machine. (On the site nothing is removed.)"""
    if not yes:
        typer.confirm(f"Remove {', '.join(names)} and the saved login?", abort=True)
    _act("remove", names, url, as_json)


@accounts.command("export")
def export_account(
    name: Annotated[str, typer.Argument(metavar="ACCOUNT", help="<site>/<account>")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file to write (0600).")] = None,
) -> None:
    """Write one file that holds the account and its login: `relay accounts add --state` takes it elsewhere."""
    from relay.cli.accounts import export_account as run

    run(name, output)


keys = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(keys, name="keys")


@keys.command()
def create(
    name: Annotated[str, typer.Option(help="What or who it is for.")] = "",
    sites: Annotated[str, typer.Option(help="Sites it may use, by commas; default: all.")] = "",
    rpm: Annotated[int | None, typer.Option(min=1, help="Chats a minute; default: no limit.")] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Chats at once; default: no limit.")] = None,
    as_json: Json = False,
) -> None:
    """Make an API key. It is shown once; its hash is stored."""
    from relay.cli.keys import create_key

    create_key(name, sites, rpm, concurrency, as_json=as_json)


@keys.command("list")
def list_(as_json: Json = False) -> None:
    """List the API keys, and what they were used for."""
    from relay.cli.keys import list_keys

    list_keys(as_json=as_json)


@keys.command()
def revoke(
    id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `relay keys list` shows it.")],
    as_json: Json = False,
) -> None:
    """Revoke an API key, at once."""
    from relay.cli.keys import revoke_key

    raise typer.Exit(revoke_key(id, as_json=as_json))


@app.command()
def doctor(
    site: Annotated[str | None, typer.Argument(metavar="[SITE]", help="One site; else each with an account.")] = None,
    account: Annotated[str | None, typer.Option(help="The account; else the first that is not disabled.")] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", dir_okay=False, help="Write a Markdown report, with its picture beside it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Try step by step whether sites still are as relay knows them, on real accounts. It sends small chats."""
    from relay.cli.doctor import run_doctor

    raise typer.Exit(run_doctor(site, account, report, as_json=as_json))
