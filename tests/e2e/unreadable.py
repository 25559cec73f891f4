"""`python -m tests.e2e.unreadable serve`: the relay, at a demo site whose traffic is not what it was."""

from __future__ import annotations

import os
from typing import Any

from relay.browser.answer import Answer
from relay.cli import main
from relay.errors import SiteChanged
from relay.sites.demo.messages import DemoReader
from relay.sites.demo.site import Demo


def _feed(_: DemoReader, frame: Any) -> Any:
    raise SiteChanged("a record of the demo site", repr(frame))


async def _accepted(_: Demo, answer: Answer) -> None:
    answer.expect("application/of-next-year")


def change(what: str) -> None:
    """Nothing in the stream is understood, or not even its head."""
    if what == "stream":
        DemoReader.feed = _feed  # type: ignore[method-assign,assignment]
    else:
        Demo.accepted = _accepted  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    change(os.environ["RELAY_TEST_CHANGED"])
    main()
