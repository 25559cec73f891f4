"""`scripts/bench`: what the relay adds to the time that a site takes, and what it costs to run."""
