"""The HTTP server's application. The pool is the caller's: started before, stopped after.

`app.state.shelves` may open a file: it is to be closed after the last request.
"""

from __future__ import annotations

import time
from typing import Any

from fastapi import FastAPI
from fastapi.middleware import Middleware
from fastapi.openapi.utils import get_openapi

from relay import __version__
from relay.api import admin, auth, errors, files, health, metrics, pages, remote, tokens
from relay.api.admin_login import AdminLogin
from relay.api.anthropic import route as anthropic
from relay.api.anthropic.schema import MessagesBody
from relay.api.fetching import Fetcher
from relay.api.file_store import FileStore
from relay.api.gate import Gate
from relay.api.gathering import Gatherer
from relay.api.kept import Shelves
from relay.api.key_usage import KeyUsage
from relay.api.openai import absent, chat, images, models, responses
from relay.api.openai.response_schema import ResponseBody
from relay.api.openai.schema import ChatBody
from relay.api.replay import Replays
from relay.pool.face import Pool
from relay.settings import Settings


def create_app(settings: Settings, pool: Pool) -> FastAPI:
    """All routes over one pool. Raises BadRequest where stored keys or files cannot be read."""
    keys = auth.Keys.of(settings)
    app = FastAPI(
        title="relay",
        version=__version__,
        summary="Your own accounts at AI chat web sites, behind one OpenAI-compatible API.",
        middleware=[Middleware(Gate, settings=settings, keys=keys)],
        docs_url=None,  # its page would load scripts from elsewhere; ours is in `pages`
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.pool = pool
    app.state.keys = keys
    app.state.files = FileStore(settings)
    app.state.gatherer = Gatherer(Fetcher(settings.fetch_urls), app.state.files)
    app.state.shelves = Shelves(settings)
    app.state.key_usage = KeyUsage(settings.home, keys.known_ids)
    app.state.replays = Replays(settings.replay)
    app.state.admin_login = AdminLogin(settings)
    app.state.url = settings.address
    app.state.started_s = int(time.time())
    errors.install(app)
    # Chats first: routes are tried in this order.
    for router in (
        chat.router,
        responses.router,
        anthropic.router,
        images.router,
        files.router,
        models.router,
        absent.router,
    ):
        app.include_router(router, prefix="/v1", dependencies=[auth.SHOWN_IN_DOCS])
    app.include_router(tokens.router, dependencies=[auth.SHOWN_IN_DOCS])
    app.include_router(health.router)
    app.include_router(metrics.router, dependencies=[auth.SHOWN_IN_DOCS])
    app.include_router(pages.router)
    app.include_router(admin.router)
    app.include_router(remote.router)
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    return app


def _described(app: FastAPI) -> dict[str, Any]:
    """The description at `/docs`, with the bodies that routes read by themselves."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        named = schema.setdefault("components", {}).setdefault("schemas", {})
        for body in (ChatBody, ResponseBody, MessagesBody):
            made = body.model_json_schema(ref_template="#/components/schemas/{model}")
            named.update(made.pop("$defs", {}))
            named[body.__name__] = made
        app.openapi_schema = schema
    return app.openapi_schema
