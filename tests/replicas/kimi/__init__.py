"""A strict local replica of www.kimi.com (new protocol), written from the Kimi fact sheet alone.

``storage_state(user)`` makes a logged-in context; users need no registration, any name is one.
"""

from tests.replicas.kimi.replica import Kimi
from tests.replicas.kimi.tokens import HOME, Tokens, login, storage_state

REPLICA = Kimi()

__all__ = ["HOME", "REPLICA", "Kimi", "Tokens", "login", "storage_state"]
