"""Framings: bytes in, records out. Pure, incremental, bounded."""
