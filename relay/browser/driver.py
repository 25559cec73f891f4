"""What Playwright raises, and in what words."""

from __future__ import annotations

from playwright.async_api import Error as PlaywrightError

DRIVER_ERRORS = (PlaywrightError, RuntimeError)
"""RuntimeError is uvloop's, for a call in the moment after the driver's pipe was closed and before Playwright knows."""


def said(error: Exception, most_chars: int = 200) -> str:
    """The first line of what it says."""
    return str(error).partition("\n")[0][:most_chars]
