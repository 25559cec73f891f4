"""`scripts/clients`: programs for people, unmodified and pinned, do real work through a real `relay serve`."""
