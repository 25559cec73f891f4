"""relay: your own accounts at AI chat web sites, behind one OpenAI-compatible API."""

__version__ = "0.1.0"
