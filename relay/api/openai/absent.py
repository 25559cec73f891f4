"""Routes of OpenAI's for what no site does through relay: they say so in OpenAI's words, and what to use instead."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from relay.api import auth
from relay.errors import UnknownModel

router = APIRouter()
CANNOT = {
    "/audio/speech": "speaks",
    "/audio/transcriptions": "transcribes sound (a chat takes sound as an `input_audio` part, where its site does)",
    "/audio/translations": "translates sound",
    "/videos": "makes videos",
    "/images/edits": "edits pictures (a chat takes pictures as `image_url` parts, where its site does)",
    "/images/variations": "varies pictures",
    "/embeddings": "makes embeddings",
    "/moderations": "moderates",
    "/completions": "completes a bare text (a chat does: /v1/chat/completions)",
}


def _add(path: str, what: str) -> None:
    async def absent(holder: auth.CallingHolder) -> Response:
        raise UnknownModel(f"No model {what} through relay. GET /v1/models lists those for chats.", param="model")

    router.add_api_route(path, absent, methods=["POST"], include_in_schema=False)


for _path, _what in CANNOT.items():
    _add(_path, _what)
