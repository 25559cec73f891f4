"""The log: one line per record, with the request id, without secrets."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator

import pytest
from loguru import logger
from pydantic import BaseModel, ValidationError

from relay import log


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    sink = io.StringIO()
    root = (logging.root.handlers, logging.root.level)
    log.configure("INFO", sink=sink)
    yield sink
    logger.remove()
    logging.root.handlers, logging.root.level = root


def test_one_line_with_the_request_id(lines: io.StringIO) -> None:
    with logger.contextualize(request_id="req-1"):
        logger.info("first\nsecond {}", "{braces} <red>")
    logger.info("outside")
    first, outside = lines.getvalue().splitlines()
    assert "req-1" in first and "first\\nsecond {braces} <red>" in first
    assert " - " in outside


def test_standard_logging_comes_in(lines: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").error("something of uvicorn")
    logging.getLogger("playwright").warning("a %s", "warning")
    assert re.search(r"ERROR +- uvicorn.error something of uvicorn", lines.getvalue())
    assert "a warning" in lines.getvalue()
    logging.getLogger("asyncio").error(
        "Future exception was never retrieved: Connection closed while reading from the driver"
    )
    logging.getLogger("asyncio").error("Task exception was never retrieved")
    assert "reading from the driver" not in lines.getvalue(), "the relay says itself that the browser is gone"
    assert "Task exception was never retrieved" in lines.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer s3cret",
        "'cookie': 's3cret=1; other=s3cret'",
        "token eyJhbGciOi.eyJzdWIs3cret.s3cret",
        "key rk-s3cret-s3cret",
        "Set-Cookie: a=s3cret",
        "bearer s3cret",
    ],
)
def test_secrets_are_hidden(lines: io.StringIO, text: str) -> None:
    logger.info(text)
    assert "s3cret" not in lines.getvalue()
    assert "[hidden]" in lines.getvalue()


def test_exceptions_take_one_line_and_show_no_input(lines: io.StringIO) -> None:
    class Model(BaseModel):
        field: int

    try:
        Model.model_validate({"field": "my prompt"})
    except ValidationError as error:
        logger.opt(exception=error).error("failed")
    assert len(lines.getvalue().splitlines()) == 1
    assert "ValidationError" in lines.getvalue() and "test_log.py:" in lines.getvalue()
    assert "my prompt" not in lines.getvalue()
