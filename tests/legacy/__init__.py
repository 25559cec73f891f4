"""The relay from end to end: a real `relay serve`, a real Chromium, real sites (or strict replicas), real clients."""
