"""One module per site, one `<id>.toml` of screen selectors, one contract (`base`)."""
