"""`Idempotency-Key`: the same request of the same caller gets the same answer, while it runs and for a while after.

The header is that of draft-ietf-httpapi-idempotency-key-header; `Last-Event-ID` that of the HTML standard's
server-sent events. What it is for and how it is used: docs/resuming.md.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass

from fastapi import Request
from starlette.responses import Response

from relay.api.delivery import Answer
from relay.api.recording import Followed, Recording
from relay.errors import BadRequest, IdempotencyKeyReused
from relay.settings import ReplaySettings

MAX_ANSWERS = 1024
"""Kept at once; those that run are never dropped, their number is bounded by the queue."""
MAX_BYTES = 64 * 1024 * 1024
_KEY = re.compile(r"[ -~]{1,255}")


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request with a key asks for."""

    caller: str
    key: str
    fingerprint: bytes
    """Of its route and body."""
    last_event: str | None = None
    """The last event that the client has; None where it wants all."""


async def claim_of(request: Request, caller: str) -> Claim | None:
    """None where the request has no key. Raises BadRequest for what cannot be one."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise BadRequest("Idempotency-Key: 1 to 255 printable ASCII characters, please; a UUID is best.")
    digest = hashlib.sha256(request.url.path.encode() + b"\0" + await request.body()).digest()
    return Claim(caller, key, digest, request.headers.get("last-event-id"))


class Replays:
    """The answers of requests with a key, in memory: by caller and key, the oldest first."""

    def __init__(self, settings: ReplaySettings, *, max_answers: int = MAX_ANSWERS, max_bytes: int = MAX_BYTES) -> None:
        self._settings = settings
        self._max_answers = max_answers
        self._max_bytes = max_bytes
        self._kept: dict[tuple[str, str], tuple[bytes, Recording]] = {}
        self._running: set[Recording] = set()

    def __repr__(self) -> str:
        return f"<Replays {len(self._kept)} answers, {len(self._running)} running>"

    def find(self, claim: Claim) -> Response | None:
        """The answer there is; None where the request must be run.

        Raises IdempotencyKeyReused for another body or route, BadRequest for a `Last-Event-ID` that is not of it.
        """
        fingerprint, recording = self._kept.get((claim.caller, claim.key), (b"", None))
        if recording is None or recording.abandoned or (claim.last_event is None and not recording.whole):
            if claim.last_event is not None:
                raise BadRequest(
                    "Last-Event-ID: there is no answer (any more) under this Idempotency-Key. "
                    "Send the request without Last-Event-ID to begin a new one."
                )
            return None
        if fingerprint != claim.fingerprint:
            raise IdempotencyKeyReused(
                "This Idempotency-Key was used for another request. Send each new request with a key of its own."
            )
        return Followed(recording, 0 if claim.last_event is None else recording.place_after(claim.last_event))

    def record(self, claim: Claim, answer: Answer, request: Request) -> Response:
        """Run an answer for whoever asks for it, first of all for this request."""

        def ended(recording: Recording) -> None:
            self._running.discard(recording)
            if recording.abandoned or recording.error is not None or recording.status != 200:
                self._drop(claim, recording)
            else:
                asyncio.get_running_loop().call_later(self._settings.keep_s, self._drop, claim, recording)
            self._trim()

        recording = Recording(answer, request.scope, linger_s=self._settings.linger_s, ended=ended)
        self._kept.pop((claim.caller, claim.key), None)  # so that it is the newest
        self._kept[claim.caller, claim.key] = claim.fingerprint, recording
        self._running.add(recording)
        return Followed(recording)

    def _drop(self, claim: Claim, recording: Recording) -> None:
        if self._kept.get((claim.caller, claim.key), (b"", None))[1] is recording:
            del self._kept[claim.caller, claim.key]

    def _trim(self) -> None:
        """Drop the oldest of those that have ended, as long as there are too many or too large ones."""
        count = len(self._kept)
        size_bytes = sum(recording.size_bytes for _, recording in self._kept.values())
        for name, (_, recording) in list(self._kept.items()):
            if count <= self._max_answers and size_bytes <= self._max_bytes:
                return
            if recording.ended:
                del self._kept[name]
                count -= 1
                size_bytes -= recording.size_bytes
