"""What DeepSeek is asked, and how its page keeps a login. Sections are those of the fact sheet."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from relay.browser.chromium import State
from relay.chat.request import FileRef, Turn
from relay.errors import BadRequest, ConversationNotFound, TooLarge
from relay.sites.base import ModelSpec
from relay.sites.deepseek.messages import Challenge

VERSION = "2.0.0"  # of the page of 2026-08
TOKEN = "userToken"
"""The key in localStorage that holds the login."""
MODELS = (
    ModelSpec("deepseek-chat", "DeepSeek 快速", default=True, thinking=True, search=True, images=True, files=True,
              aliases=("deepseek-v4-flash", "deepseek-chat-nothinking", "deepseek-v4-flash-nothinking")),
    ModelSpec("deepseek-reasoner", "DeepSeek 深度思考", thinking=True, always_thinks=True, search=True, images=True,
              files=True),
    ModelSpec("deepseek-expert", "DeepSeek 专家", thinking=True, search=True, files=True,
              aliases=("deepseek-v4-pro", "deepseek-expert-nothinking", "deepseek-v4-pro-nothinking")),
    ModelSpec("deepseek-v4-vision", "DeepSeek 识图", thinking=True, search=True, images=True,
              aliases=("deepseek-v4-vision-nothinking",)),
)  # fmt: skip
MODEL_TYPES = {"deepseek-expert": "expert", "deepseek-v4-vision": "vision"}
"""By model; every other is `default` (section 3)."""
REASONER = "deepseek-reasoner"
MAX_IMAGE_BYTES = 8 * 1024 * 1024
JSON = {"Content-Type": "application/json"}


def bearer(stored: str | None) -> str:
    """The token in what the page keeps under `TOKEN`; empty where nobody is logged in (section 2)."""
    try:
        found = json.loads(stored or "null")
    except (ValueError, RecursionError):
        return ""
    if isinstance(found, dict):
        found = next((found[key] for key in ("value", "token", "accessToken") if found.get(key)), "")
    return found if isinstance(found, str) else ""


def login_state(token: str, home: str) -> State:
    """A pasted token as the page keeps it."""
    address = urlsplit(home)
    stored = {"name": TOKEN, "value": json.dumps({"value": token, "__version": "0"})}
    return {
        "cookies": [],
        "origins": [{"origin": f"{address.scheme}://{address.netloc}", "localStorage": [stored]}],
    }


def headers(token: str, language: str, offset_s: int) -> dict[str, str]:
    """What every call carries (section 4); `offset_s` is the page's time zone in seconds, east positive."""
    return {
        "Authorization": f"Bearer {token}",
        "x-client-platform": "web",
        "x-client-version": VERSION,
        "X-App-Version": VERSION,
        "x-client-locale": "zh_CN" if language.lower().startswith("zh") else "en_US",
        "x-client-timezone-offset": str(offset_s),
    }


def mode(turn: Turn) -> tuple[str, bool]:
    """The model type and whether it thinks (section 3). Only one sees images: raises BadRequest where another must."""
    model_type = MODEL_TYPES.get(turn.model, "default")
    if any(attachment.kind == "image" for attachment in turn.attachments):
        if model_type == "expert":
            raise BadRequest("DeepSeek's expert mode takes no images: send them to deepseek-v4-vision.", param="model")
        model_type = "vision"
    elif model_type == "vision" and turn.conversation is None:
        raise BadRequest("deepseek-v4-vision answers about an image: send one, or choose deepseek-chat.", param="model")
    return model_type, turn.thinking or turn.model == REASONER


def completion_body(
    turn: Turn, session: str, files: Sequence[FileRef], model_type: str, *, thinking: bool
) -> dict[str, object]:
    """The body of a completion (section 4)."""
    return {
        "chat_session_id": session,
        "parent_message_id": _parent(turn),
        "model_type": model_type,
        "prompt": turn.prompt,
        "ref_file_ids": [file.id for file in files],
        "thinking_enabled": thinking,
        "search_enabled": turn.search,
        "action": None,
        "preempt": False,
    }


def _parent(turn: Turn) -> int | None:
    """The answer that the turn goes on after; the site counts its messages."""
    parent = turn.conversation.parent if turn.conversation is not None else ""
    if turn.conversation is None:
        return None
    if not (parent.isascii() and parent.isdigit()):
        raise ConversationNotFound("It is not known after which answer DeepSeek should go on.", refused=True)
    return int(parent)


def continue_body(session: str, message: int) -> dict[str, object]:
    """The body that asks for the rest of an answer (section 4)."""
    return {"chat_session_id": session, "message_id": message, "fallback_to_resume": True}


def proof_header(challenge: Challenge, answer: int) -> dict[str, str]:
    """The header of a call that wants proof of work (section 4)."""
    said: dict[str, Any] = {
        "algorithm": challenge.algorithm,
        "challenge": challenge.challenge,
        "salt": challenge.salt,
        "answer": answer,
        "signature": challenge.signature,
        "target_path": challenge.target_path,
    }
    return {"X-DS-PoW-Response": base64.b64encode(json.dumps(said).encode()).decode("ascii")}


def upload_headers(kind: str, size_bytes: int, *, thinking: bool) -> dict[str, str]:
    """What an upload says of its file (section 7). Raises TooLarge for an image above the page's limit."""
    if kind == "image" and size_bytes > MAX_IMAGE_BYTES:
        raise TooLarge(f"The image has {size_bytes} bytes; DeepSeek takes {MAX_IMAGE_BYTES}.")
    return {
        "x-model-type": "vision" if kind == "image" else "default",
        "x-file-size": str(size_bytes),
        "x-thinking-enabled": str(int(thinking)),
    }
