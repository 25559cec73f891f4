"""Site tokens of callers: what a Bearer brings in place of a key, and `POST /token/check`."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field, ValidationError

from relay.api import auth, errors
from relay.api.keys import Holder
from relay.errors import BadRequest, Unauthorized
from relay.pool.face import Offer, Pool
from relay.settings import Settings

MAX_BEARER_CHARS = 65_536
MAX_TOKEN_CHARS = 8_192
MAX_TOKENS = 100
FALLBACK = "kimi"
"""The site of a token to check whose shape tells none."""

BROUGHT = "tokens-"
"""Begins the ids of callers who brought site tokens; no key's id does."""
_KEY = secrets.token_bytes(32)
"""Of this process: hashes under it tell nothing of a token."""

router = APIRouter()


def is_token(text: str, pattern: str) -> bool:
    """Whether `text` has the shape of a site's tokens; an empty pattern fits none."""
    return bool(pattern) and len(text) <= MAX_TOKEN_CHARS and re.fullmatch(pattern, text) is not None


def tokens_of(presented: str, pattern: str) -> tuple[str, ...]:
    """The site tokens that a Bearer consists of, by commas; none where no part of it is one.

    Raises Unauthorized for tokens among other things, and for more than there may be: nothing of it is used then.
    """
    if not pattern or not presented:
        return ()
    if len(presented) > MAX_BEARER_CHARS:
        raise Unauthorized(f"The Bearer has {len(presented)} characters; site tokens have {MAX_BEARER_CHARS} at most.")
    parts = [part.strip(" ") for part in presented.split(",")]
    fits = [is_token(part, pattern) for part in parts]
    if not any(fits):
        return ()
    if len(parts) > MAX_TOKENS:
        raise Unauthorized(f"The Bearer brings {len(parts)} site tokens; at most {MAX_TOKENS} may come at once.")
    if not all(fits):
        wrong = fits.index(False)
        what = "no token of the model's site" if parts[wrong] else "empty"
        raise Unauthorized(f"Part {wrong + 1} of {len(parts)} of the Bearer is {what}, so none of it was used.")
    return tuple(parts)


@dataclass(frozen=True, slots=True)
class Bearer:
    """What a request presented, before the site is known that it would be a token of."""

    holder: Holder | None
    """Whose key it is; None where it is none."""
    presented: str = field(default="", repr=False)
    """What may be site tokens; empty where nothing may."""
    refusal: Unauthorized | None = None
    """What to raise where it turns out to be neither."""

    def at(self, site: str, offers: Sequence[Offer]) -> tuple[str, tuple[str, ...]]:
        """Who calls, and the site tokens to use in place of the owner's accounts.

        Raises Unauthorized, SiteNotAllowed where the key is not for the site.
        """
        brought = tokens_of(self.presented, _pattern(site, offers))
        if brought:
            return self._bringer, brought
        if self.holder is None:
            raise self.refusal or Unauthorized("A valid API key is needed.")
        auth.allow(self.holder, site)
        return self.holder.id, ()

    def whose(self, offers: Sequence[Offer]) -> str:
        """Who calls, whichever site it is about: one who brings tokens of any is their holder. Raises Unauthorized."""
        if any(tokens_of(self.presented, pattern) for pattern in {offer.token_pattern for offer in offers}):
            return self._bringer
        if self.holder is None:
            raise self.refusal or Unauthorized("A valid API key is needed.")
        return self.holder.id

    @property
    def _bringer(self) -> str:
        return f"{BROUGHT}{_hash(self.presented)}"


async def require_bearer(request: Request) -> Bearer:
    """For a route that begins a chat: it is counted.

    Raises RateLimited, and Unauthorized for what can be neither a key nor tokens of any site: its body is not read.
    """
    return await _bearer(request, auth.require_chatter)


async def require_known_bearer(request: Request) -> Bearer:
    """For what belongs to a caller of chats: it is not counted. Raises Unauthorized as above."""
    return await _bearer(request, auth.require_holder)


async def _bearer(request: Request, require: Callable[[Request], Awaitable[Holder]]) -> Bearer:
    settings: Settings = request.app.state.settings
    pool: Pool = request.app.state.pool
    presented = auth.presented_key(request) if settings.passes_tokens else ""
    try:
        holder = await require(request)
    except Unauthorized as refusal:
        first = presented[: MAX_TOKEN_CHARS + 1].partition(",")[0].strip(" ")
        if not any(is_token(first, pattern) for pattern in _patterns(pool).values()):
            raise
        return Bearer(None, presented, refusal)
    # A key that is known is never taken for a token.
    return Bearer(holder, presented if holder.id == auth.LOCAL else "")


Bringer = Annotated[Bearer, Depends(require_bearer)]
KnownBearer = Annotated[Bearer, Depends(require_known_bearer)]


def _hash(presented: str) -> str:
    return hashlib.blake2b(presented.encode("utf-8", "surrogatepass"), key=_KEY, digest_size=16).hexdigest()


def _pattern(site: str, offers: Sequence[Offer]) -> str:
    return next((offer.token_pattern for offer in offers if offer.site == site), "")


def _patterns(pool: Pool) -> dict[str, str]:
    """Patterns by site, of every site; empty where it has no tokens."""
    return {offer.site: offer.token_pattern for offer in pool.offers(everything=True)}


# The route


class TokenCheck(BaseModel):
    """`POST /token/check`."""

    token: str = Field(min_length=1, max_length=MAX_TOKEN_CHARS)
    site: str | None = Field(None, max_length=64)


_DOCUMENTED = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": TokenCheck.model_json_schema()}}}
}


@router.post("/token/check", openapi_extra=_DOCUMENTED)
async def check(request: Request, holder: auth.CallingHolder) -> dict[str, bool]:
    """Whether a pasted site token lives. Without `site` its shape tells; what has the shape of none does not live."""
    pool: Pool = request.app.state.pool
    try:
        body = TokenCheck.model_validate_json(await request.body())
    except ValidationError as error:
        raise errors.invalid(error) from None
    token = body.token.strip()
    site = _site_of(token, body.site, _patterns(pool))
    auth.allow(holder, site)
    return {"live": await pool.tokens.check(token, site)}


def _site_of(token: str, named: str | None, patterns: dict[str, str]) -> str:
    """The site to ask. Raises BadRequest for one that is not there or has no tokens."""
    if not named:
        return next((site for site, pattern in patterns.items() if is_token(token, pattern)), FALLBACK)
    if not patterns.get(named):
        able = ", ".join(sorted(site for site, pattern in patterns.items() if pattern))
        raise BadRequest(f"No tokens of a site {named!r} can be checked; of these they can: {able}.", param="site")
    return named
