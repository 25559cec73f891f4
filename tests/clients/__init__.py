"""The programs that people point at relay, unmodified, against a real `relay serve` with a real browser."""
