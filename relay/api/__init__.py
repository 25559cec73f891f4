"""HTTP: routes, keys, errors and streams. Knows the pool by its face only, and nothing of browsers."""
