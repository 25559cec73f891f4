"""One logger (loguru), one line per record, the request id in each. Tokens, cookies and prompts stay out.

What is logged is written so that it holds none; `redact` is the net below that, for messages of other libraries.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from typing import TYPE_CHECKING, TextIO

from loguru import logger
from pydantic import ValidationError

if TYPE_CHECKING:
    from loguru import Record

_FORMAT = "{time:YYYY-MM-DD HH:mm:ss.SSS} {level: <7} {extra[request_id]} {name} {extra[_line]}\n"
_SECRETS = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[^\s'\",]+"), r"\1 [hidden]"),
    (re.compile(r"(?i)\b((?:set-)?cookie|authorization|x-api-key)(['\"]?\s*[:=]\s*)[^\n]+"), r"\1\2[hidden]"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?"), "[hidden]"),
    (re.compile(r"(/login/)[\w-]{40,}"), r"\1[hidden]"),
    (re.compile(r"\b(?:sk|rk|hf)[-_][\w-]{8,}"), "[hidden]"),
)
_MAX_LINE_CHARS = 4000
_DRIVER_GONE = "Connection closed while reading from the driver"


def configure(level: str = "INFO", *, debug: bool = False, sink: TextIO | None = None) -> None:
    """Log to `sink` (standard error) from `level` up, standard logging included; `debug` adds whole tracebacks."""

    def line(record: Record) -> str:
        record["extra"]["_line"] = _line(record)
        return _FORMAT + ("{exception}\n" if debug and record["exception"] else "")

    logger.remove()
    logger.configure(extra={"request_id": "-"})
    logger.add(sink or sys.stderr, level=level, format=line, backtrace=False, diagnose=False)
    logging.root.handlers = [_Intercept()]
    logging.root.setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio", "playwright"):
        library = logging.getLogger(name)
        library.handlers = []
        library.propagate = True
        library.setLevel(logging.NOTSET)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def redact(text: str) -> str:
    """`text` without what looks like a token, key or cookie."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def _line(record: Record) -> str:
    """The message on one line, with the exception's type and place, if there is one."""
    text = record["message"]
    exception = record["exception"]
    if exception is not None and exception.value is not None:
        text = f"{text}: {_describe(exception.value)}"
    text = redact(text)[:_MAX_LINE_CHARS]
    return text.replace("\r", "\\r").replace("\n", "\\n")


def _describe(error: BaseException) -> str:
    """Type, message, and the innermost frames of a fault; never the input that a validator complains of."""
    if isinstance(error, ValidationError):
        said = json.dumps(error.errors(include_input=False, include_url=False, include_context=False))
    else:
        said = str(error)[:300]
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    places = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames))
    return f"{type(error).__name__}: {said} [{places}]"


class _Intercept(logging.Handler):
    """Hands records of standard logging to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        def named(made: Record) -> None:
            made["name"] = record.name

        known = record.levelname in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
        level = record.levelname if known else record.levelno
        if record.name == "asyncio" and _DRIVER_GONE in record.getMessage():
            level = "DEBUG"  # Playwright's own futures; we are told of the death by other ways, and act on it
        logger.patch(named).opt(exception=record.exc_info).log(level, "{}", record.getMessage())
