"""Who calls: API keys, static or stored. Where none is wanted, every caller is the owner; so is who has his socket."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection

from relay.api.keys import Holder, KeyFile, Pace, StoredKey, StoredKeys, caller_of, digest, id_of
from relay.errors import SiteNotAllowed, Unauthorized
from relay.pool.face import Offer
from relay.settings import Settings

LOCAL = "local"
"""The caller where no keys are configured."""
OWNER = "relay.owner"
"""Key of the ASGI scope, set on the owner's socket only: what a client sends never becomes a key of the scope."""


class Keys:
    """The API keys: static ones by their digests, stored ones as their file has them now."""

    def __init__(self, static: Iterable[str], stored: StoredKeys | None = None, *, is_open: bool = True) -> None:
        """`is_open`: whether the server may be used without a key, if there is none."""
        self._static = [digest(key) for key in static if key]
        self._stored = stored
        self._is_open = is_open
        self.pace = Pace()

    @classmethod
    def of(cls, settings: Settings) -> Keys:
        """The keys of a server. Raises BadRequest where the file of stored keys is damaged."""
        static = (key.get_secret_value() for key in settings.api_keys)
        return cls(static, StoredKeys(KeyFile(settings.home)), is_open=settings.is_loopback)

    def __bool__(self) -> bool:
        """Whether callers need a key. A file without a key in it wants one too: the last key was revoked."""
        return bool(self._static) or not self._is_open or self._known() is not None

    def __repr__(self) -> str:
        return f"<Keys {len(self._static)} static, {self._stored}>"

    def holder(self, presented: str) -> Holder:
        """The key's holder, `local` without keys. Raises Unauthorized."""
        if not self:
            return Holder(LOCAL)
        shown = digest(presented)
        if self._matches(shown):
            return Holder(caller_of(shown))
        # By its digest, whose bytes a caller cannot choose: how long the search takes tells nothing of the keys.
        stored = (self._known() or {}).get(shown)
        if stored is None:
            raise Unauthorized(
                "A valid API key is needed: send it as 'Authorization: Bearer <key>'. "
                "`relay keys create` makes one, RELAY_API_KEYS sets some."
            )
        return Holder(caller_of(shown), tuple(stored.sites), stored.rpm, stored.concurrency)

    def known_ids(self) -> dict[str, bool]:
        """The ids of all keys, and whether each is static."""
        stored = dict.fromkeys(map(id_of, self._known() or ()), False)
        return stored | dict.fromkeys(map(id_of, self._static), True)

    def is_static(self, presented: str) -> bool:
        """Whether it is one of RELAY_API_KEYS: those are the owner's own."""
        return self._matches(digest(presented))

    def _matches(self, shown: bytes) -> bool:
        # All are compared, so that the time tells nothing of which one it was.
        matches = [hmac.compare_digest(shown, known) for known in self._static]
        return any(matches)

    def _known(self) -> dict[bytes, StoredKey] | None:
        return self._stored.current() if self._stored is not None else None


def presented_key(request: HTTPConnection) -> str:
    """The Bearer token, else `x-api-key`; empty where there is none."""
    scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return request.headers.get("x-api-key", "").strip()


def is_owner(request: HTTPConnection) -> bool:
    """Whether the request came by the owner's socket."""
    return request.scope.get(OWNER) is True


def is_own_page(origin: str, host: str, public_url: str) -> bool:
    """Whether an `Origin` is a page of this server, which was called as `host`; a proxy may have changed that name."""
    try:
        page, public = urlsplit(origin.lower()), urlsplit(public_url.lower())
        if public.netloc and (page.scheme, page.netloc) == (public.scheme, public.netloc):
            return True
    except ValueError:
        return False
    if page.netloc == public.netloc and public.scheme == "https":
        return False  # the same name without TLS: anybody on the way may have written that page
    return page.scheme in ("http", "https") and page.netloc != "" and page.netloc == host.lower()


async def require_holder(request: Request) -> Holder:
    """Whose request it is. Raises Unauthorized."""
    keys: Keys = request.app.state.keys
    holder = Holder(LOCAL) if is_owner(request) else keys.holder(presented_key(request))
    request.state.holder = holder
    return holder


async def require_caller(holder: Annotated[Holder, Depends(require_holder)]) -> str:
    """The caller's id. Raises Unauthorized."""
    return holder.id


async def require_chatter(request: Request) -> Holder:
    """Who wants a chat: it is counted. Raises Unauthorized, RateLimited."""
    holder = await require_holder(request)
    keys: Keys = request.app.state.keys
    keys.pace.spend(holder)
    return holder


async def require_every_site(holder: Annotated[Holder, Depends(require_holder)]) -> None:
    """For what tells of all sites. Raises Unauthorized, SiteNotAllowed."""
    if holder.sites:
        raise SiteNotAllowed(f"This API key is for {', '.join(holder.sites)}; this tells of every site.")


def allow(holder: Holder, site: str) -> None:
    """Raises SiteNotAllowed where the holder's key is not for a site."""
    if not holder.may_use(site):
        raise SiteNotAllowed(
            f"This API key is not for {site}: it is for {', '.join(holder.sites)}. GET /v1/models lists their models.",
            param="model",
        )


def offers_for(holder: Holder, offers: Sequence[Offer]) -> list[Offer]:
    """The models that a holder may use."""
    return [offer for offer in offers if holder.may_use(offer.site)]


Caller = Annotated[str, Depends(require_caller)]
CallingHolder = Annotated[Holder, Depends(require_holder)]
SHOWN_IN_DOCS = Depends(HTTPBearer(auto_error=False, description="a relay API key, where keys are configured"))
"""A router dependency that gives `/docs` its box for the key; what checks it is one of those above."""
