"""In words: why a request waits, and why no account may take it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from relay.errors import ConversationNotFound, NoAccount, RelayError
from relay.pool.account import Account
from relay.sites.registry import site_class


def why_waiting(able: Sequence[Account], site: str, model: str, now: float) -> str:
    """Why none of the accounts that may take a chat has taken it at `now` (monotonic seconds)."""
    if not able:
        return "no account may take it now"
    if any(account.pages.outdated for account in able):
        return "the browser is being replaced"
    if all(account.running >= account.limit for account in able):
        return f"every place of {site} is taken"
    paced = min(account.pace.next_at(model, now) for account in able)
    if paced > now:
        return f"{site} keeps its pace, {math.ceil(paced - now)} s more"
    return "every page is in use"


def no_account(site: str, refusals: Sequence[RelayError | None], only: str = "") -> RelayError:
    """The error of a request that no account may take, from what each said; `only`: the one that it had to be."""
    told = [error for error in refusals if error is not None]
    if told:
        # The refusal that ends soonest is the most useful one to report.
        return min(told, key=lambda error: (error.retry_after_s or math.inf, error.code != "login_needed"))
    if only:
        return ConversationNotFound(f"The conversation's account {only} is gone. Send the whole history instead.")
    return NoAccount(
        f"No account of {site_class(site).name} is set up: `relay login {site}`; `relay accounts add {site}` "
        "takes a token, a file, or an address."
    )
