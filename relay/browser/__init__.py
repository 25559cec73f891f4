"""Chromium: launch, contexts, tabs, in-page fetch, the page's own traffic, the screen."""
