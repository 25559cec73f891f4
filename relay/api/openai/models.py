"""`GET /v1/models`: one entry shape for the SDKs of OpenAI and of Anthropic."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request

from relay.api import auth
from relay.chat.models import resolve
from relay.pool.face import Offer, Pool

router = APIRouter()


@router.get("/models")
async def list_models(request: Request, holder: auth.CallingHolder, all: bool = False) -> dict[str, Any]:
    """Models of the sites with an account; with `all=true` of every site."""
    pool: Pool = request.app.state.pool
    started_s: int = request.app.state.started_s
    entries = [entry(offer, offer.id, started_s) for offer in auth.offers_for(holder, pool.offers(everything=all))]
    return {
        "object": "list",
        "data": entries,
        "has_more": False,
        "first_id": entries[0]["id"] if entries else None,
        "last_id": entries[-1]["id"] if entries else None,
    }


@router.get("/models/{model:path}")
async def show_model(request: Request, holder: auth.CallingHolder, model: str) -> dict[str, Any]:
    """One model, by any name that a chat takes."""
    pool: Pool = request.app.state.pool
    offers = pool.offers(everything=True)
    choice = resolve(model, offers)
    auth.allow(holder, choice.site)
    return entry(_offer(choice.site, choice.model, choice.account, offers), model, request.app.state.started_s)


def _offer(site: str, key: str, account: str, offers: Sequence[Offer]) -> Offer:
    """The offer behind a choice; an unlisted value of an account is the account's."""
    mine = [offer for offer in offers if offer.site == site and offer.account == account]
    return next((offer for offer in mine if offer.key == key), mine[0])


def entry(offer: Offer, name: str, created_s: int) -> dict[str, Any]:
    """`created_s`: Unix seconds. Sites do not tell when a model was made, so it is the server's start."""
    created_at = datetime.fromtimestamp(created_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "id": name,
        "object": "model",
        "created": created_s,
        "owned_by": offer.site,
        "type": "model",
        "display_name": offer.name or offer.id,
        "created_at": created_at,
        "lifecycle": "active",
        "relay": {
            "ready": offer.ready,
            "default": offer.default,
            "aliases": list(offer.aliases),
            "thinking": offer.thinking,
            "search": offer.search,
            "images": offer.images,
            "files": offer.files,
            "draws": offer.draws,
        },
    }
