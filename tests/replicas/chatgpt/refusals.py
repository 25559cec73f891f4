"""How ChatGPT says no (fact sheet section 9)."""

from __future__ import annotations

from tests.replicas.chatgpt.requests import error
from tests.replicas.scenario import Fault

EXPIRED = error("token_expired", "Provided authentication token is expired. Please try signing in again.")
UNUSUAL = {"detail": "Unusual activity has been detected from your device. Try again later."}
BANNED = error("account_deactivated", "Your account has been deactivated.")
BUSY = {"detail": "A message in progress must finish first: message in progress."}
NO_CONVERSATION = error("conversation_not_found", "Can't load conversation")


def body(fault: Fault) -> object:
    """The JSON of a refusing status that the scenario wants."""
    named = fault.code != "internal"
    match fault.status:
        case 401:
            return EXPIRED
        case 403 if not named:
            return UNUSUAL
        case 429:
            clears = {} if fault.resets_in_s is None else {"clears_in": fault.resets_in_s}
            return error(fault.code if named else "model_cap_exceeded", fault.message, **clears)
        case 422:
            return {"detail": [{"loc": ["body"], "msg": fault.message, "type": "value_error"}]}
    return error(fault.code, fault.message)
