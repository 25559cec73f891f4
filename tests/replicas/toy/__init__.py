"""A strict replica of the toy site."""

from tests.replicas.toy.replica import Toy

REPLICA = Toy()

__all__ = ["REPLICA", "Toy"]
