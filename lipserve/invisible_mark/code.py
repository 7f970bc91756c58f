"""The code of the invisible mark: 32 bits and their checksum as 96 signs, which survive many wrong ones.

Four words of the extended Golay code (24, 12, 8): any three wrong signs of a word are corrected, and where it
is known how sure each sign is, about as many again.
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np
from numpy.typing import NDArray

SIGNS = 96
_WORDS = 4
_GENERATOR = 0b1010_1110_0011  # of the Golay code (23, 12): x^11 + x^9 + x^7 + x^6 + x^5 + x + 1
_NEXT = 8  # candidates for each word, of which those are taken that fit the checksum
_NUMBER = re.compile(r"[0-9a-f]{8}")

Signs = NDArray[np.int8]
Soft = NDArray[np.float32]
"""float32 [..., 96]: how surely each sign is +1 (positive) or -1 (negative)."""


def encode(number: str) -> Signs:
    """Return the signs int8 [96], +1 or -1, of a number: eight hexadecimal digits."""
    if not _NUMBER.fullmatch(number):
        raise ValueError(f"{number!r} has no eight hexadecimal digits")
    message = int(number, 16)
    message = message << 16 | _checksum(message)
    words = [_book()[message >> 36 - 12 * place & 0xFFF] for place in range(_WORDS)]
    return np.asarray(np.stack(words, 1).ravel(), np.int8)  # what is lost together is of many words


def agreement(soft: Soft) -> NDArray[np.float32]:
    """Return how well the nearest words agree with signs [N, 96]: [N]."""
    fits = _fits(soft)
    return np.asarray(fits.max(0).sum(1), np.float32)


def decode(soft: Soft) -> str | None:
    """Return the number that signs [96] tell; None: none whose checksum is right is near."""
    fits = _fits(soft[None])[:, 0]
    near = np.argsort(-fits, 0)[:_NEXT]
    sums = np.zeros(1)
    for place in range(_WORDS):
        sums = (sums[:, None] + fits[near[:, place], place]).ravel()
    for choice in np.argsort(-sums)[: _NEXT**2]:
        message = 0
        for place, rank in enumerate(np.unravel_index(choice, (_NEXT,) * _WORDS)):
            message = message << 12 | int(near[rank, place])
        if _checksum(message >> 16) == message & 0xFFFF:
            return f"{message >> 16:08x}"
    return None


def _fits(soft: Soft) -> NDArray[np.float32]:
    """Return how well each word of the book fits [4096, N, 4], for signs [N, 96]."""
    parts = soft.reshape(-1, SIGNS // _WORDS, _WORDS).transpose(1, 0, 2)
    fits = _book().astype(np.float32) @ parts.reshape(SIGNS // _WORDS, -1).astype(np.float32)
    return np.asarray(fits.reshape(-1, len(soft), _WORDS))


def _checksum(message: int) -> int:
    """Return the CRC-16 (CCITT, from 0xFFFF) of 32 bits."""
    rest = 0xFFFF
    for byte in message.to_bytes(4, "big"):
        rest ^= byte << 8
        for _ in range(8):
            rest = (rest << 1 ^ (0x1021 if rest & 0x8000 else 0)) & 0xFFFF
    return rest


@cache
def _book() -> Signs:
    """Return the signs of all words of the code, int8 [4096, 24]; a word is at the place of its 12 bits."""
    messages = np.arange(4096)
    rest = messages << 11
    for place in range(22, 10, -1):
        rest = np.where(rest >> place & 1, rest ^ _GENERATOR << place - 11, rest)
    words = messages << 11 | rest
    bits = words[:, None] >> np.arange(22, -1, -1) & 1
    parity = bits.sum(1, keepdims=True) & 1
    return np.asarray(1 - 2 * np.concatenate([bits, parity], 1), np.int8)
