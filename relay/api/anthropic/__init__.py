"""Anthropic's Messages API: what its SDKs and Claude Code speak."""
