"""The built-in demo site itself (`relay.demo`), behind the replicas' door: only its model plays scenarios."""

from tests.replicas.demo.replica import Demo

REPLICA = Demo()

__all__ = ["REPLICA", "Demo"]
