"""Pages for people: `/admin` (`relay/web`; it asks `/admin/api`) and `/docs` (the routes); all they load is ours."""

from __future__ import annotations

import html
from importlib.resources import files

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

router = APIRouter(include_in_schema=False)
CSP = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
HEADERS = {"Content-Security-Policy": CSP, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
ASSETS = {"admin.js": "text/javascript", "style.css": "text/css"}


def _file(name: str) -> str:
    return (files("relay.web") / name).read_text("utf-8")


@router.get("/admin")
async def admin() -> Response:
    """Accounts, queue and models, and what the owner can do with them; the page asks for the password."""
    return HTMLResponse(_file("admin.html"), headers=HEADERS)


@router.get("/admin/admin.js")
async def script() -> Response:
    """The page's script."""
    return Response(_file("admin.js"), media_type=ASSETS["admin.js"], headers=HEADERS)


@router.get("/admin/style.css")
async def style() -> Response:
    """The pages' style."""
    return Response(_file("style.css"), media_type=ASSETS["style.css"], headers=HEADERS)


@router.get("/docs")
async def docs(request: Request) -> Response:
    """The routes, from the OpenAPI description."""
    schema = request.app.openapi()
    lines = []
    for path, methods in schema["paths"].items():
        for method, route in methods.items():
            said = html.escape(route.get("description") or route.get("summary", ""))
            lines.append(
                f'<p class="route"><span class="method">{method.upper()}</span> <code>{html.escape(path)}</code>'
                f"<br>{said}</p>"
            )
    return HTMLResponse(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>relay: routes</title>'
        '<link rel="icon" href="data:,"><link rel="stylesheet" href="/admin/style.css">'
        f"<h1>relay {html.escape(schema['info']['version'])}</h1>{''.join(lines)}"
        '<footer><a href="/openapi.json">OpenAPI description</a> · <a href="/admin">Accounts</a></footer></html>',
        headers=HEADERS,
    )
