"""A strict local replica of claude.ai, written from the Claude fact sheet alone.

``storage_state(account)`` makes a logged-in context; accounts need no registration, any name is one.
"""

from tests.replicas.claude.replica import Claude
from tests.replicas.claude.sessions import HOME, organization, session_key, storage_state

REPLICA = Claude()

__all__ = ["HOME", "REPLICA", "Claude", "organization", "session_key", "storage_state"]
