"""`/ping`, `/health`, `/ready`: for people, containers and load balancers. None needs a key."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from relay import __version__
from relay.api import auth
from relay.errors import Unauthorized
from relay.pool.face import Pool, PoolStatus

router = APIRouter()


@router.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
async def root() -> Response:
    """Some clients ask whether anybody is there."""
    return JSONResponse({"name": "relay", "version": __version__, "docs": "/docs", "models": "/v1/models"})


@router.get("/ping")
async def ping() -> Response:
    """The process answers."""
    return PlainTextResponse("pong")


@router.get("/health")
async def health(request: Request) -> Response:
    """The pool at a glance; the accounts only for who may use them."""
    pool: Pool = request.app.state.pool
    status = pool.status()
    body = {"status": "ok" if status.ready else "degraded", "version": __version__, **_counts(status)}
    try:
        holder = await auth.require_holder(request)
    except Unauthorized:
        return JSONResponse(body)
    accounts = [
        {
            "site": one.site,
            "account": one.account,
            "state": one.state,
            "reason": one.reason,
            "why": one.why,
            "chats": one.chats,
            "tabs": one.tabs,
        }
        for one in status.accounts
        if holder.may_use(one.site)
    ]
    return JSONResponse({**body, "accounts": accounts})


@router.get("/ready")
async def ready(request: Request) -> Response:
    """200 while at least one account may take a chat, else 503."""
    pool: Pool = request.app.state.pool
    status = pool.status()
    return JSONResponse({"ready": status.ready, **_counts(status)}, 200 if status.ready else 503)


def _counts(status: PoolStatus) -> dict[str, Any]:
    return {"waiting": status.waiting, "running": status.running, "browser": status.browser}
