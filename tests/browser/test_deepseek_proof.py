"""DeepSeek's proof of work, solved in a real page (fact sheet section 4)."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

from relay.browser.tab import Tab
from relay.errors import SiteChanged
from relay.sites.deepseek.messages import Challenge
from relay.sites.deepseek.proof import solve

pytestmark = pytest.mark.asyncio(loop_scope="session")
ALL = (1 << 64) - 1
CONSTANTS = [
    0x0000000000000001, 0x0000000000008082, 0x800000000000808A, 0x8000000080008000, 0x000000000000808B,
    0x0000000080000001, 0x8000000080008081, 0x8000000000008009, 0x000000000000008A, 0x0000000000000088,
    0x0000000080008009, 0x000000008000000A, 0x000000008000808B, 0x800000000000008B, 0x8000000000008089,
    0x8000000000008003, 0x8000000000008002, 0x8000000000000080, 0x000000000000800A, 0x800000008000000A,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
]  # fmt: skip
TURNS = [1, 3, 6, 10, 15, 21, 28, 36, 45, 55, 2, 14, 27, 41, 56, 8, 25, 43, 62, 18, 39, 61, 20, 44]
LANES = [10, 7, 11, 17, 18, 3, 5, 16, 8, 21, 24, 4, 15, 23, 19, 13, 12, 2, 20, 14, 22, 9, 6, 1]
RATE = 136


def turned(lane: int, by: int) -> int:
    return (lane << by | lane >> (64 - by)) & ALL


def permuted(state: list[int], first: int) -> list[int]:
    """Keccak-f[1600] from its round `first` on."""
    for constant in CONSTANTS[first:]:
        parity = [state[x] ^ state[x + 5] ^ state[x + 10] ^ state[x + 15] ^ state[x + 20] for x in range(5)]
        state = [lane ^ parity[(i - 1) % 5] ^ turned(parity[(i + 1) % 5], 1) for i, lane in enumerate(state)]
        moving = state[1]
        for by, lane in zip(TURNS, LANES, strict=True):
            state[lane], moving = turned(moving, by), state[lane]
        rows = [state[y : y + 5] for y in range(0, 25, 5)]
        state = [row[x] ^ (~row[(x + 1) % 5] & ALL & row[(x + 2) % 5]) for row in rows for x in range(5)]
        state[0] ^= constant
    return state


def digest(text: str, first: int = 1) -> str:
    """SHA3-256 whose permutation begins at its round `first`, in hex."""
    data = bytearray(text.encode()) + b"\x06"
    data += bytes(-len(data) % RATE)
    data[-1] |= 0x80
    state = [0] * 25
    for at in range(0, len(data), RATE):
        for lane in range(RATE // 8):
            state[lane] ^= int.from_bytes(data[at + 8 * lane : at + 8 * lane + 8], "little")
        state = permuted(state, first)
    return b"".join(lane.to_bytes(8, "little") for lane in state[:4]).hex()


def challenge(salt: str, target: str, difficulty: int = 144_000) -> Challenge:
    made: dict[str, Any] = {"algorithm": "DeepSeekHashV1", "challenge": target, "salt": salt, "difficulty": difficulty}
    made |= {"signature": "s", "expire_at": 1790000000000, "target_path": "/api/v0/chat/completion"}
    return Challenge.model_validate(made)


async def test_our_own_reckoning_is_right() -> None:
    for text in ("", "abc" * 100, "a" * 135, "a" * 136):
        assert digest(text, first=0) == hashlib.sha3_256(text.encode()).hexdigest()
    assert digest("") == "e594808bc5b7151ac160c6d39a02e0a8e261ed588578403099e3561dc40c26b3"


async def test_the_sheets_vector(warm_tab: Tab) -> None:
    target = "cac2b654c785ffb41ef328a92088cbd18e145b27a5029bbf87e447d4a2b27e4b"
    assert await solve(warm_tab, challenge("demo_salt", target)) == 42
    assert await solve(warm_tab, challenge("demo_salt", target.upper())) == 42


@pytest.mark.parametrize("answer", [0, 9, 10, 143_999])
async def test_answers_from_first_to_last(warm_tab: Tab, answer: int) -> None:
    target = digest(f"3d6d9e3a1b_1790000000000_{answer}")
    assert await solve(warm_tab, challenge("3d6d9e3a1b", target)) == answer


@pytest.mark.parametrize("size", [1, 117, 118, 119, 120, 121, 122, 123, 257, 500])
async def test_salts_of_any_length(warm_tab: Tab, size: int) -> None:
    """Where the digits end in another block of the hash than they begin in, too. (The prefix is 15 longer.)"""
    salt = "盐" * (size // 30) + "s" * (size - 3 * (size // 30))
    target = digest(f"{salt}_1790000000000_1234")
    assert await solve(warm_tab, challenge(salt, target, 2000)) == 1234


async def test_a_challenge_without_an_answer_is_told(warm_tab: Tab) -> None:
    with pytest.raises(SiteChanged) as caught:
        await solve(warm_tab, challenge("salt", "00" * 32, 500))
    assert caught.value.refused, "nothing was sent"


async def test_the_page_stays_alive_meanwhile(warm_tab: Tab) -> None:
    work = asyncio.create_task(solve(warm_tab, challenge("salt", "00" * 32)))
    for number in range(5):
        assert await warm_tab.evaluate("function(n) { return n + 1; }", number) == number + 1
        assert not work.done()
    with pytest.raises(SiteChanged):
        await work
