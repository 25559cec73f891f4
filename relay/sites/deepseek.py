"""DeepSeek, chat.deepseek.com: a token in localStorage, proof of work, event streams of patches.

Sections are those of the fact sheet.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, ClassVar, TypeVar

from loguru import logger

from relay.browser.answer import Answer
from relay.browser.chromium import Context
from relay.browser.fetch import FormPart
from relay.browser.screen import MissingRole
from relay.browser.tab import Tab
from relay.chat.events import Event, Finished, Started
from relay.chat.request import Attachment, FileRef, Turn
from relay.errors import (
    BadRequest,
    ChallengeNeeded,
    ContentRefused,
    ConversationNotFound,
    LoginNeeded,
    RelayError,
    SiteChanged,
    SiteError,
)
from relay.sites import deepseek_requests as requests
from relay.sites.base import Capabilities, Login, LoginState, ModelSpec, ScreenRecipe, Site, SiteConfig
from relay.sites.deepseek_messages import (
    Answered,
    Anything,
    CreatedChallenge,
    CreatedSession,
    CurrentUser,
    File,
    Files,
    StillWriting,
    envelope,
    parsed,
    refuse_page,
)
from relay.sites.deepseek_proof import Stock, solve
from relay.sites.deepseek_stream import DeepSeekReader
from relay.sites.drivers import finish
