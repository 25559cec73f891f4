"""Local replicas of the chat sites, as strict as the real ones, reached under their real host names.

One TLS process (``python -m tests.replicas``) serves every replica by Host header, HTTP/2 and HTTP/1.1. Tests start
it with :class:`Replicas`, point Chromium at it with ``Replicas.chromium_args``, choose what happens to an account with
``Replicas.play(site, account, Scenario(...))`` and read what the site received with ``Replicas.records(...)``.

A new replica is a sub-package with ``REPLICA``, an instance of :class:`tests.replicas.site.Replica`; it is found by
itself. See ``kimi`` for the pattern.
"""

from tests.replicas.client import Replicas
from tests.replicas.recording import Moment, Record, Upload
from tests.replicas.scenario import Answer, Fault, Page, Piece, Scenario
from tests.replicas.seen import Seen, SeenConversation, SeenFile, SeenTurn

__all__ = [
    "Answer",
    "Fault",
    "Moment",
    "Page",
    "Piece",
    "Record",
    "Replicas",
    "Scenario",
    "Seen",
    "SeenConversation",
    "SeenFile",
    "SeenTurn",
    "Upload",
]
