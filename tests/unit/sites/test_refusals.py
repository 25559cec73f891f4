"""An HTTP refusal as an error, whatever its headers hold."""

import pytest

from relay.browser.answer import status_error


@pytest.mark.parametrize(
    ("after", "seconds"),
    [("30", 30), ("0.5", 0.5), ("2.", 2), ("", None), ("soon", None), ("-3", None), ("¹", None), ("٣", None),
     ("9" * 400, None), ("1.2.3", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None)],
)  # fmt: skip
def test_how_long_to_wait(after: str, seconds: float | None) -> None:
    for status in (429, 503):
        assert status_error(status, {"retry-after": after}, "", sends_prompt=True).retry_after_s == seconds
