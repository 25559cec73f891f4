"""The pages of docs/ that are made from the code: errors, settings, models. `scripts/docs` runs this."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr

from relay import errors
from relay.cli.settings_help import rows
from relay.settings import Settings
from relay.sites.base import ModelSpec, Site
from relay.sites.registry import SITES

DOCS = Path(__file__).resolve().parent.parent / "docs"
MADE = "<!-- Made by scripts/docs from {source}; change it there. -->\n"

NOT_YET: set[str] = set()
"""Settings that are read and checked, but that nothing obeys yet."""

WHAT_TO_DO = {
    "internal_error": "Look in the server's log under the answer's `x-request-id`, and report it.",
    "invalid_request": "Mend what the message names; `param` says where in the body it is.",
    "context_length_exceeded": "Send a shorter history, or use a site with a larger limit.",
    "content_filter": "Word the request differently, or ask another site.",
    "invalid_api_key": "Send one of the server's keys as `Authorization: Bearer <key>`.",
    "not_logged_in": "Log in at `/admin`, or send a key of `RELAY_API_KEYS` (docs/admin.md).",
    "wrong_password": "Use the password that the first start showed, or `RELAY_ADMIN_PASSWORD` (docs/admin.md).",
    "site_not_allowed": "Use another model, or a key that was made for this site too (`relay keys create`).",
    "forbidden": "Add the name to `RELAY_ALLOWED_HOSTS`, or the origin to `RELAY_CORS_ORIGINS`.",
    "model_not_found": "`GET /v1/models` lists what you have; `?all=true` lists every site.",
    "conversation_not_found": "Leave `conversation_id` out and send the whole history.",
    "file_not_found": "`GET /v1/files` lists the files of your key; store it again (docs/files.md).",
    "previous_response_not_found": "Send the whole history as `input`, without `previous_response_id`.",
    "response_not_found": "Only answers with `store` are kept, for `RELAY_KEEP_RESPONSES_S` (docs/responses.md).",
    "account_not_found": "`relay accounts list` shows the accounts.",
    "login_gone": "Ask for a new address: `relay login SITE --remote`, or the admin page.",
    "request_too_large": "Send less; the message names the limit, and the setting that sets it.",
    "idempotency_key_reused": "Send each new request with a key of its own (docs/resuming.md).",
    "rate_limit_exceeded": "Wait as long as `Retry-After` says; else add an account, or raise the key's limits.",
    "queue_full": "Wait as long as `Retry-After` says; `RELAY_QUEUE__…` sets the limits.",
    "no_account_available": "Set an account up, or see in `/health` why those there are may not take a chat.",
    "login_needed": "Log in to the site again and renew the account's `state.json`.",
    "challenge_needed": "Open the site in your own browser, solve its challenge, and renew `state.json`.",
    "account_banned": "Settle it with the site in your own browser; another account of the site serves meanwhile.",
    "site_closed": "Use another site.",
    "site_unavailable": "Try again later; see whether the site answers in your own browser.",
    "site_error": "Try again; the message repeats what the site said.",
    "answer_cut": "Send the request again: what came so far is not a whole answer.",
    "tool_call_failed": "Try again, offer fewer or simpler tools, or ask another model.",
    "site_changed": "Update the relay, or mend the site's selectors with an overlay (docs/architecture.md).",
    "browser_fault": "Try again: the page or the browser is opened anew. The log says what died.",
    "first_byte_timeout": "Ask the site in your own browser whether it works; it was not sent again by itself.",
    "idle_timeout": "Send the request again; `RELAY_CLOCKS__IDLE_S` sets how long silence may last.",
    "total_timeout": "Ask for less, or raise `RELAY_CLOCKS__TOTAL_S`.",
}


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *body]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def tree(kind: type[errors.RelayError]) -> Iterator[type[errors.RelayError]]:
    """The class and all below it, as the file has them."""
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from tree(below)


def errors_page() -> str:
    """docs/errors.md"""
    seen: dict[str, list[str]] = {}
    for kind in tree(errors.RelayError):
        meaning = (kind.__doc__ or "").split("\n\n")[0].strip()
        if kind is errors.RelayError:
            meaning = "Something unforeseen failed inside the relay."
        again = "yes" if kind.retryable else "no"
        row = [f"`{kind.code}`", str(kind.status), f"`{kind.type}`", meaning, WHAT_TO_DO[kind.code], again]
        if kind.code not in seen or "code" in vars(kind):  # the class that names a code tells best what it means
            seen[kind.code] = row
    ordered = sorted(seen.values(), key=lambda row: (row[1], row[0]))
    head = ("code", "status", "type", "what happened", "what to do", "retry")
    return f"""{MADE.format(source="relay/errors.py")}
# Errors

Every refusal has one shape, OpenAI's, whatever the route; only below `/v1/messages` it is Anthropic's
([anthropic.md](anthropic.md)), with the same codes:

```json
{{"error": {{"message": "…", "type": "…", "param": null, "code": "…"}}}}
```

The message says what happened and what a person can do. A failure before an answer has begun has its HTTP status. A
stream that has begun ends with one `data: {{"error": …}}` record in place of a `finish_reason` and `[DONE]`: an answer
that was cut never looks complete. `Retry-After` (and `retry-after-ms`) stand with every 429; `x-should-retry: false`
stands where sending the same again is of no use ("no" in the last column), and OpenAI's SDKs obey it.

{table(head, ordered)}
Two more come from the HTTP layer itself: `unknown_url` (404) and `method_not_allowed` (405).
"""


def field_of(name: str) -> Any:
    """The annotation behind a setting's name."""
    model: type[BaseModel] = Settings
    parts = name.removeprefix("RELAY_").lower().split("__")
    annotation: Any = None
    for part in parts:
        if part == "<id>":
            continue
        annotation = model.model_fields[part].annotation
        inner = get_args(annotation)[1] if get_origin(annotation) is dict else annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            model = inner
    return annotation


def value(name: str, annotation: Any) -> str:
    """What a setting takes, with its unit."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return value(name, arguments[0])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(value(name, one) for one in arguments if one is not NoneType))
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in arguments)
    if origin is list:
        return "list, by commas" if arguments[0] is not SecretStr else "list, by commas (secret)"
    if annotation is bool:
        return "`true`, `false`"
    if annotation in (int, float):
        units = {"_S": "seconds", "_MIB": "MiB"}
        return next((unit for suffix, unit in units.items() if name.endswith(suffix)), "number")
    return "path" if annotation is Path else "text"


def settings_page() -> str:
    """docs/settings.md"""
    body = []
    for name, default, meaning in rows():
        shown = "-" if default == "none" else default if default == "depends" else f"`{default}`"
        if name == "RELAY_HOME":
            shown = "this folder if it has `browser_profiles/`, else the user data folder"
        meaning += " (no effect yet)" if name in NOT_YET else ""
        body.append((f"`{name}`", value(name, field_of(name)), shown, meaning))
    return f"""{MADE.format(source="relay/settings.py")}
# Settings

One name everywhere: an environment variable, a line of `.env` in the current folder, or a key of `relay.toml` in the
home folder, where the prefix falls away, letters are small and `__` is a table:

```toml
port = 9999

[clocks]
idle_s = 120

[sites.kimi]
drivers = ["screen", "dom"]
```

What comes first wins: arguments of the command, the environment, `.env`, `relay.toml`. `relay serve --help` prints the
same list. `<ID>` is a site's id in capitals, with `_` for `-`. "-" means unset.

{table(("name", "value", "default", "meaning"), body)}"""


def model_row(site: type[Site], spec: ModelSpec) -> tuple[str, ...]:
    """One line of the models' table."""
    names = [site.id] if spec.default else []
    if spec.key and spec.key != site.id:
        names.append(f"{site.id}/{spec.key}")
    if site.needs_base_url:
        names += [f"{site.id}/<account>", f"{site.id}/<account>/<choice of its model picker>"]
    flags = [spec.thinking, spec.search, spec.images, spec.files]
    marks = ["always" if spec.always_thinks else "yes" if flags[0] else "-"]
    marks += ["yes" if flag else "-" for flag in flags[1:]]
    quoted = ", ".join(f"`{name}`" for name in names)
    return (site.name, quoted, ", ".join(f"`{alias}`" for alias in spec.aliases) or "-", *marks)


def models_page() -> str:
    """docs/models.md"""
    body = [model_row(site, spec) for site in SITES.values() for spec in site.models]
    agents = [f"- {site.name}: `{site.id}/<agent id>`" for site in SITES.values() if site.capabilities.agents]
    return f"""{MADE.format(source="the sites (relay/sites)")}
# Models

`model` is one of:

- `<site>`: the site's default model
- `<site>/<model>`: one of its models
- a model's own name or alias alone, where only one site has it
- `<site>/<account>` and `<site>/<account>/<choice>`: sites that are an address of yours (gradio)

Switches may follow any of them, in any order: `-search`, `-think`, `-research`, `-silent` (no search progress in the
reasoning; `silent_search` anywhere in the name means the same). What a site cannot do is refused with the reason.
Exact names win before switches are cut off. `a+b` compares two to four of them (docs/compare.md). A site may offer an
account more models than these: `GET /v1/models` asks the accounts you have, `GET /v1/models?all=true` lists every site.

{table(("site", "model", "also known as", "thinking", "search", "images", "files"), body)}
Agents, bots and custom models of a site, by their id:

{chr(10).join(agents)}
"""


PAGES = {"errors.md": errors_page, "settings.md": settings_page, "models.md": models_page}


def stale() -> list[str]:
    """The pages whose file is not what the code says."""
    found = {name: DOCS / name for name in PAGES}
    return [
        name for name, file in found.items() if not file.is_file() or file.read_text(encoding="utf-8") != PAGES[name]()
    ]


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or with `--check` only compare; the exit status."""
    if arguments not in ([], ["--check"]):
        print("usage: scripts/docs [--check]", file=sys.stderr)
        return 2
    old = stale()
    if arguments:
        for name in old:
            print(f"docs/{name} is not current: run scripts/docs", file=sys.stderr)
        return 1 if old else 0
    for name in old:
        (DOCS / name).write_text(PAGES[name](), encoding="utf-8")
        print(f"docs/{name} written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
