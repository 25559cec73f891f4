"""Which of the settings counts."""

from __future__ import annotations

import pytest

from relay.settings import Clocks, Settings


@pytest.mark.parametrize(
    ("own", "set_for_it", "idle_s", "first_byte_s"),
    [
        (None, {}, 70, 80),
        (Clocks(idle_s=300), {}, 300, 80),
        (Clocks(idle_s=300), {"idle_s": 5}, 5, 80),
        (None, {"first_byte_s": 7}, 70, 7),
    ],
    ids=["general", "the site's own", "set for the site", "another is set"],
)
def test_clocks_of_a_site(own: Clocks | None, set_for_it: dict[str, float], idle_s: float, first_byte_s: float) -> None:
    """What a site does not set itself is as it is set for all."""
    settings = Settings.model_validate(
        {"clocks": {"idle_s": 70, "first_byte_s": 80}, "sites": {"slow": {"clocks": set_for_it}}}
    )
    clocks = settings.clocks_for("slow", own)
    assert (clocks.idle_s, clocks.first_byte_s, clocks.total_s) == (idle_s, first_byte_s, 900)
