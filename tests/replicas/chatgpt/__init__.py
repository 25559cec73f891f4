"""A strict local replica of chatgpt.com, written from the ChatGPT fact sheet alone.

``storage_state(user)`` makes a logged-in context; users need no registration, any name is one.
"""

from tests.replicas.chatgpt.replica import ChatGPT
from tests.replicas.chatgpt.tokens import HOME, access_token, session_token, storage_state

REPLICA = ChatGPT()

__all__ = ["HOME", "REPLICA", "ChatGPT", "access_token", "session_token", "storage_state"]
