"""Accounts and leases: who may chat where, and when."""
