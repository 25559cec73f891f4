"""One folder per site (`site.py`, `selectors.toml`, what they need), one contract (`base`)."""
