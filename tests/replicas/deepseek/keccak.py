"""DeepSeekHashV1 (fact sheet section 4): SHA3-256 whose Keccak-f leaves out round 0."""

from __future__ import annotations

RATE_BYTES = 136
_MASK = (1 << 64) - 1


def _round_constants() -> list[int]:
    constants, register = [], 1
    for _ in range(24):
        constant = 0
        for step in range(7):
            constant |= (register & 1) << ((1 << step) - 1)
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
        constants.append(constant)
    return constants


def _moves() -> list[tuple[int, int, int]]:
    """For each lane x + 5y after rho and pi: the lane that it comes from, that lane's column, its rotation."""
    moves = [(0, 0, 0)] * 25
    x, y = 1, 0
    for step in range(24):
        source, column = x + 5 * y, x
        x, y = y, (2 * x + 3 * y) % 5
        moves[x + 5 * y] = source, column, (step + 1) * (step + 2) // 2 % 64
    return moves


_CONSTANTS = _round_constants()[1:]
_MOVES = _moves()
_ROWS = [(lane, lane - lane % 5 + (lane + 1) % 5, lane - lane % 5 + (lane + 2) % 5) for lane in range(25)]


def _rotated(lane: int, by: int) -> int:
    return (lane << by | lane >> (64 - by)) & _MASK


def _permuted(lanes: list[int]) -> list[int]:
    for constant in _CONSTANTS:
        sums = [lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20] for x in range(5)]
        mixed = [sums[x - 1] ^ _rotated(sums[(x + 1) % 5], 1) for x in range(5)]
        moved = [_rotated(lanes[source] ^ mixed[column], by) for source, column, by in _MOVES]
        lanes = [moved[here] ^ (~moved[next_] & moved[after]) for here, next_, after in _ROWS]
        lanes[0] ^= constant
    return lanes


def digest(data: bytes) -> bytes:
    """The 32 bytes of DeepSeekHashV1."""
    padded = bytearray(data + b"\x06" + b"\0" * ((-len(data) - 1) % RATE_BYTES))
    padded[-1] |= 0x80
    lanes = [0] * 25
    for start in range(0, len(padded), RATE_BYTES):
        for lane in range(RATE_BYTES // 8):
            lanes[lane] ^= int.from_bytes(padded[start + 8 * lane : start + 8 * lane + 8], "little")
        lanes = _permuted(lanes)
    return b"".join(lane.to_bytes(8, "little") for lane in lanes[:4])
