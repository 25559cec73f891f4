"""Who may call (fact sheet section 2), and how the site says no to all others."""

from __future__ import annotations

import time

from tests.replicas.deepseek import tokens
from tests.replicas.deepseek.requests import CLIENT, check_headers, envelope, outer_error
from tests.replicas.exchange import Exchange, Refused

MISSING, DEAD = 40002, 40003
WORDS = {MISSING: "Missing Token", DEAD: "Authorization Failed (invalid token)"}


def dead(code: int = DEAD) -> dict[str, object]:
    """The body that says so, in its outer part."""
    return outer_error(code, WORDS[code])


def signed_in(exchange: Exchange) -> str:
    """The user of a right call.

    Raises Refused for a token that is missing or dead, with HTTP 200 and a code unless the options say otherwise; 400
    for headers that no page of the site would send.
    """
    scheme, _, token = exchange.header("authorization").partition(" ")
    login = tokens.read(token) if scheme == "Bearer" else None
    how = exchange.scenario.login
    # A banned login is a dead token: the sheet knows no other sign. There are no guests: one has no token.
    code, why = (
        (MISSING, "no Bearer token")
        if scheme != "Bearer" or not token
        else (DEAD, "not a token of this site")
        if login is None
        else (DEAD, "token expired")
        if login.expires_s <= time.time()
        else (MISSING if how == "guest" else DEAD, f"scenario: {how}")
        if how != "live"
        else (0, "")
    )
    if login is None or code:
        options = exchange.scenario.options
        body = envelope(biz_code=code, biz_msg=WORDS[code]) if options.get("dead_inside") else dead(code)
        raise Refused(int(options.get("dead_status", 200)), why, body)
    check_headers(exchange, CLIENT)
    return login.user
