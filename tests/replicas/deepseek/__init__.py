"""A strict local replica of chat.deepseek.com, written from the DeepSeek fact sheet alone.

``storage_state(user)`` makes a logged-in context; users need no registration, any name is one.
"""

from tests.replicas.deepseek.replica import DeepSeek
from tests.replicas.deepseek.tokens import HOME, mint, storage_state

REPLICA = DeepSeek()

__all__ = ["HOME", "REPLICA", "DeepSeek", "mint", "storage_state"]
