"""Near duplicates across splits: perceptual hashes that differ in a few bits, without comparing every pair."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

HASH_BITS = 64


def near_partners(hashes: np.ndarray, splits: np.ndarray, contents: np.ndarray, max_bits: int) -> np.ndarray:
    """For each image the position of one near duplicate in another split, -1 where there is none.

    Two hashes at most `max_bits` apart agree on at least one of `max_bits + 1` bands (pigeonhole), so only images that
    share a band are compared, in sorted order, a vectorised pass for each distance within the order.

    Args:
        hashes: uint64 [N], 64-bit perceptual hashes.
        splits: int [N], a code for each split.
        contents: int [N], a code for the exact content; equal contents are exact duplicates, not near ones.
        max_bits: Largest number of differing bits, 0 to 16.
    """
    partners = np.full(len(hashes), -1, dtype=np.int64)
    edges = np.linspace(0, HASH_BITS, max_bits + 2).round().astype(int)
    for low, high in pairwise(edges):
        band = (hashes >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
        order = np.argsort(band, kind="stable")
        _match_within_bands(band[order], order, hashes, splits, contents, max_bits, partners)
    return partners


def _match_within_bands(band, order, hashes, splits, contents, max_bits, partners) -> None:
    left = np.arange(len(order) - 1)
    for distance in range(1, len(order)):
        left = left[left + distance < len(order)]
        left = left[band[left] == band[left + distance]]
        if not len(left):
            return
        one, other = order[left], order[left + distance]
        hit = np.bitwise_count(hashes[one] ^ hashes[other]) <= max_bits
        hit &= (splits[one] != splits[other]) & (contents[one] != contents[other])
        for here, there in ((one[hit], other[hit]), (other[hit], one[hit])):
            new = partners[here] < 0
            partners[here[new]] = there[new]


def parse_hashes(texts: list[str]) -> np.ndarray:
    """64-bit hashes uint64 [N] from 16 hexadecimal digits each.

    Raises:
        ValueError: A text is not 16 hexadecimal digits.
    """
    if any(len(text) != HASH_BITS // 4 for text in texts):
        raise ValueError("a perceptual hash is 16 hexadecimal digits")
    return np.frombuffer(bytes.fromhex("".join(texts)), dtype=">u8").astype(np.uint64)
