"""`/metrics`: the pool's measurements for Prometheus. It needs a key where there are keys: it names the accounts."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from relay.api import auth
from relay.pool.face import Pool

router = APIRouter(dependencies=[Depends(auth.require_every_site)])


@router.head("/metrics", include_in_schema=False)
@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """Queue, accounts, pages, memory, chats and the time of each of their steps, in Prometheus' text format."""
    pool: Pool = request.app.state.pool
    return Response(await pool.metrics(), headers={"content-type": CONTENT_TYPE_LATEST, "cache-control": "no-store"})
