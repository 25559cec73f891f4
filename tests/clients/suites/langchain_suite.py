"""LangChain's own standard tests of a chat model."""

from __future__ import annotations

import base64
import io
import wave
from typing import Any

import httpx
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests
from target import BASE, KEY, MODEL

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="


def silence() -> bytes:
    """A short sound, as WAV."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(800))
    return file.getvalue()


DOWNLOADS = {".png": base64.b64decode(PIXEL), ".wav": silence(), ".pdf": b"%PDF-1.4\n%%EOF\n"}
"""What the tests fetch from the internet, which CI has not, by the end of the address."""


class TestChatOpenAI(ChatModelIntegrationTests):
    """The tests skip themselves where they are of OpenAI-foreign shapes, or measure times on recorded cassettes."""

    @pytest.fixture(autouse=True)
    def _internet(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def get(url: str, **_: Any) -> httpx.Response:
            return httpx.Response(200, content=DOWNLOADS[url[-4:]])

        monkeypatch.setattr(httpx, "get", get)

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": MODEL, "base_url": BASE, "api_key": KEY, "stream_usage": True}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        return True

    @property
    def supports_audio_inputs(self) -> bool:
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_pdf_tool_message(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "demo/thinker"
