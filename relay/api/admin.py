"""`/admin/api/*`: what the owner does with accounts, for the admin page and for commands on the owner's socket."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response

from relay import __version__
from relay.api import auth, errors
from relay.api.admin_login import COOKIE, AdminLogin
from relay.errors import Forbidden, NotLoggedIn, TooLarge
from relay.pool.face import AccountStatus, Pool
from relay.settings import Settings

router = APIRouter(prefix="/admin/api", include_in_schema=False)
MAX_BODY_BYTES = 16 * 1024
MAX_PASSWORD_CHARS = 1024
CUSTOM_HEADER = "x-relay-admin"
"""Any value: a page of another origin cannot send it without asking first, and is refused when it asks."""


class LoginBody(BaseModel):
    """What the login form sends."""

    model_config = ConfigDict(extra="forbid", strict=True)
    password: Annotated[str, Field(min_length=1, max_length=MAX_PASSWORD_CHARS)]


async def require_same_page(request: Request) -> None:
    """Nobody's page but ours may change anything with the owner's cookie. Raises Forbidden."""
    if request.method in ("GET", "HEAD"):
        return
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    public_url = request.app.state.settings.public_url
    foreign = origin is not None and not auth.is_own_page(origin, request.headers.get("host", ""), public_url)
    if foreign or site not in (None, "same-origin"):
        raise Forbidden("A page of another origin may not use the admin API.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and CUSTOM_HEADER not in request.headers:
        raise Forbidden(f"The admin API takes Content-Type: application/json, or a header {CUSTOM_HEADER}.")


async def require_owner(request: Request) -> str:
    """How the owner showed that he is it: `socket`, `key` or `session`. Raises NotLoggedIn, Forbidden."""
    if auth.is_owner(request):
        return "socket"
    keys: auth.Keys = request.app.state.keys
    if keys.is_static(auth.presented_key(request)):
        return "key"
    login: AdminLogin = request.app.state.admin_login
    if not login.sessions.touch(request.cookies.get(COOKIE, "")):
        raise NotLoggedIn(
            "Log in at /admin, or send a key of RELAY_API_KEYS as 'Authorization: Bearer <key>'. "
            "Keys of `relay keys` are for chats only."
        )
    require_browser_origin(request)
    return "session"


def require_browser_origin(request: Request) -> None:
    """A cookie comes from a browser, and every browser says whose page changes something. Raises Forbidden."""
    named = "origin" in request.headers or "sec-fetch-site" in request.headers
    if request.method not in ("GET", "HEAD") and not named:
        raise Forbidden("A request with the admin page's cookie must come from that page (no Origin was sent).")


_OURS = Depends(require_same_page)
_OWNER = [_OURS, Depends(require_owner)]


async def _body(request: Request, most_bytes: int = MAX_BODY_BYTES) -> bytes:
    """The body, if it is small. Raises TooLarge as soon as it is not."""
    received = b""
    async for chunk in request.stream():
        received += chunk
        if len(received) > most_bytes:
            raise TooLarge(f"A body of the admin API has at most {most_bytes} bytes.")
    return received


@router.post("/login", dependencies=[_OURS])
async def log_in(request: Request) -> Response:
    """A session for the password. Raises WrongPassword; RateLimited after several wrong ones."""
    require_browser_origin(request)
    try:
        body = LoginBody.model_validate_json(await _body(request))
    except ValidationError as error:
        raise errors.invalid(error) from None
    login: AdminLogin = request.app.state.admin_login
    token = await login.enter(body.password, request.client.host if request.client else "")
    response = _json({"via": "session"})
    response.set_cookie(COOKIE, token, path="/admin", httponly=True, samesite="strict", secure=_came_by_tls(request))
    return response


@router.post("/logout", dependencies=[_OURS])
async def log_out(request: Request) -> Response:
    """End the session; nothing happens without one."""
    login: AdminLogin = request.app.state.admin_login
    login.sessions.end(request.cookies.get(COOKIE, ""))
    response = _json({})
    response.delete_cookie(COOKIE, path="/admin", httponly=True, samesite="strict", secure=_came_by_tls(request))
    return response


@router.get("/session")
async def session(via: Annotated[str, Depends(require_owner)]) -> Response:
    """Whether the caller may use the admin API, and by what: `session`, `key` or `socket`."""
    return _json({"via": via, "version": __version__})


@router.get("/accounts", dependencies=_OWNER)
async def accounts(request: Request) -> Response:
    """All accounts, the queue and the browser."""
    status = _pool(request).status()
    return _json(
        {
            "accounts": [described(account) for account in status.accounts],
            "ready": status.ready,
            "waiting": status.waiting,
            "running": status.running,
            "browser": status.browser,
            "version": __version__,
        }
    )


@router.get("/models", dependencies=_OWNER)
async def models(request: Request) -> Response:
    """The names of the models that can be asked for."""
    return _json({"models": [offer.id for offer in _pool(request).offers()]})


_ACCOUNT = "/accounts/{site}/{account}"


@router.post(_ACCOUNT + "/check", dependencies=_OWNER)
async def check(request: Request, site: str, account: str) -> Response:
    """Ask the site about the login now."""
    return _json(described(await _pool(request).owner.check(f"{site}/{account}")))


@router.post(_ACCOUNT + "/park", dependencies=_OWNER)
async def park(request: Request, site: str, account: str) -> Response:
    """Take it out of service."""
    return _json(described(await _pool(request).owner.park(f"{site}/{account}")))


@router.post(_ACCOUNT + "/resume", dependencies=_OWNER)
async def resume(request: Request, site: str, account: str) -> Response:
    """Back to service, and checked."""
    return _json(described(await _pool(request).owner.resume(f"{site}/{account}")))


@router.post(_ACCOUNT + "/take-up", dependencies=_OWNER)
async def take_up(request: Request, site: str, account: str) -> Response:
    """Load an account whose folder was made or changed."""
    return _json(described(await _pool(request).owner.take_up(f"{site}/{account}")))


@router.post(_ACCOUNT + "/lend", dependencies=_OWNER)
async def lend(request: Request, site: str, account: str) -> Response:
    """Drain it and let another process of the owner open it."""
    await _pool(request).owner.lend(f"{site}/{account}")
    return _json({})


@router.post(_ACCOUNT + "/take-back", dependencies=_OWNER)
async def take_back(request: Request, site: str, account: str) -> Response:
    """Open a lent account again."""
    return _json(described(await _pool(request).owner.take_back(f"{site}/{account}")))


@router.delete(_ACCOUNT, dependencies=_OWNER)
async def remove(request: Request, site: str, account: str) -> Response:
    """Drain it and remove its folder."""
    await _pool(request).owner.remove(f"{site}/{account}")
    return _json({})


@router.post(_ACCOUNT + "/login", dependencies=_OWNER)
async def open_login(request: Request, site: str, account: str) -> Response:
    """A one-time address at which the owner logs in from afar."""
    ticket = await _pool(request).logins.open(f"{site}/{account}")
    return _json({"url": _base_url(request) + ticket.path, "path": ticket.path, "expires": ticket.expires})


def described(account: AccountStatus) -> dict[str, Any]:
    """One account as plain data; `until`, `since` and `resets_at` are Unix seconds."""
    return {
        "name": account.name,
        "site": account.site,
        "account": account.account,
        "state": account.state,
        "reason": account.reason,
        "why": account.why,
        "label": account.label,
        "chats": account.chats,
        "tabs": account.tabs,
        "until": account.until,
        "since": account.since,
        "quotas": [asdict(quota) for quota in account.quotas],
    }


def _pool(request: Request) -> Pool:
    pool: Pool = request.app.state.pool
    return pool


def _json(body: Any) -> Response:
    # Escaped: what a site said may hold characters that UTF-8 has no bytes for.
    return Response(json.dumps(body), media_type="application/json", headers={"cache-control": "no-store"})


def _came_by_tls(request: Request) -> bool:
    """Whether the page was loaded by https: we speak http ourselves, with a proxy before us where it was."""
    origin = request.headers.get("origin", "")
    if origin:
        return origin.lower().startswith("https://")
    settings: Settings = request.app.state.settings
    return settings.public_url.lower().startswith("https://")


def _base_url(request: Request) -> str:
    """Where people reach this server: as set, else as the caller did, else (on the socket) as it listens."""
    settings: Settings = request.app.state.settings
    if settings.public_url:
        return settings.public_url.rstrip("/")
    if not auth.is_owner(request):
        return f"http://{request.headers.get('host', '')}"
    url: str = request.app.state.url
    return url
