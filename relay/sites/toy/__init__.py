"""Toy: `site` is the whole of it, `selectors.toml` where its elements are."""
