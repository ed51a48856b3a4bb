"""Near duplicates across splits: perceptual hashes that differ in a few bits, without comparing every pair."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd

HASH_BITS = 64


def near_partners(hashes: np.ndarray, splits: np.ndarray, contents: np.ndarray, max_bits: int) -> np.ndarray:
    """For each image the position of one near duplicate in another split, -1 where there is none.

    Two hashes at most `max_bits` apart agree on at least one of `max_bits + 1` bands (pigeonhole), so only hashes that
    share a band are compared, in sorted order, a vectorised pass for each distance within the order. 20,000 images take
    0.02 s at 3 bits and 0.8 s at 16.

    Args:
        hashes: uint64 [N], 64-bit perceptual hashes.
        splits: int [N], a code for each split.
        contents: int [N], a code for the exact content; equal contents are exact duplicates, not near ones.
        max_bits: Largest number of differing bits, 0 to 16.
    """
    rows = pd.DataFrame({"hash": hashes, "split": splits, "content": contents})
    partners = _same_hash_partners(rows)
    groups = rows.groupby(["hash", "split"], sort=False)
    first = rows.drop_duplicates(["hash", "split"])
    found = _banded_partners(first["hash"].to_numpy(), first["split"].to_numpy(), max_bits)
    others = found[groups.ngroup().to_numpy()]
    return np.where((partners < 0) & (others >= 0), first.index.to_numpy()[others], partners)


def _same_hash_partners(rows: pd.DataFrame) -> np.ndarray:
    """Partners of the very same hash. Two contents of a hash in a split are enough: one differs from any third."""
    partners = np.full(len(rows), -1, dtype=np.int64)
    shared = rows[rows.duplicated("hash", keep=False)].rename_axis("row").reset_index()
    distinct = shared.drop_duplicates(["hash", "split", "content"])
    distinct = distinct[distinct.groupby(["hash", "split"]).cumcount() < 2]
    pairs = shared.merge(distinct, on="hash", suffixes=("", "_other"))
    pairs = pairs[(pairs["split"] != pairs["split_other"]) & (pairs["content"] != pairs["content_other"])]
    pairs = pairs.drop_duplicates("row")
    partners[pairs["row"]] = pairs["row_other"]
    return partners


def _banded_partners(hashes: np.ndarray, splits: np.ndarray, max_bits: int) -> np.ndarray:
    """Partners of another hash; contents cannot be equal then."""
    partners = np.full(len(hashes), -1, dtype=np.int64)
    edges = np.linspace(0, HASH_BITS, max_bits + 2).round().astype(int)
    for low, high in pairwise(edges) if max_bits else ():
        band = (hashes >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
        order = np.argsort(band, kind="stable")
        band, ordered = band[order], hashes[order]
        room = np.searchsorted(band, band, side="right") - np.arange(len(order))  # to the end of a hash's band
        left = np.argsort(-room, kind="stable")  # those that reach farthest come first
        of_left = ordered[left]
        for distance in range(1, room.max(initial=0)):
            num = np.count_nonzero(room > distance)
            apart = np.bitwise_count(of_left[:num] ^ ordered[left[:num] + distance])
            near = left[:num][(apart > 0) & (apart <= max_bits)]
            one, other = order[near], order[near + distance]
            hit = splits[one] != splits[other]
            for here, there in ((one[hit], other[hit]), (other[hit], one[hit])):
                new = partners[here] < 0
                partners[here[new]] = there[new]
    return partners


def parse_hashes(texts: list[str]) -> np.ndarray:
    """64-bit hashes uint64 [N] from 16 hexadecimal digits each.

    Raises:
        ValueError: A text is not 16 hexadecimal digits.
    """
    if any(len(text) != HASH_BITS // 4 for text in texts):
        raise ValueError("a perceptual hash is 16 hexadecimal digits")
    return np.frombuffer(bytes.fromhex("".join(texts)), dtype=">u8").astype(np.uint64)
