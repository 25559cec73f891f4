"""The relay that the programs talk to, and what they ask it."""

from __future__ import annotations

import os

ROOT = os.environ["RELAY_URL"]
"""Its address."""
BASE = f"{ROOT}/v1"
MODEL = "demo"
KEY = "none"

QUESTION = "What is the weather in Oslo?"
FORECAST = "It snows in {city}: minus 7 degrees."
"""What the weather tool finds; the demo model repeats what tools bring."""
INTRODUCTION = "Jane is 54 years old."
