"""A test split for data sets whose own test labels are not public."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from graft.data.formats.listing import Entry
from graft.foundation.content import content_seed
from graft.foundation.counted import counted
from graft.foundation.errors import GraftError

TestFrom = Literal["val", "train", "none"]
HeldOutFraction = Annotated[float, Field(gt=0, lt=1)]


def add_test(entries: Sequence[Entry], test_from: TestFrom, held_out_fraction: float, seed: int) -> list[Entry]:
    """Official train and val as train, val and test.

    Args:
        entries: Entries of the splits train and val.
        test_from: `val` makes the official val the test split and holds train groups out as val; `train` keeps val
            and holds train groups out as test; `none` changes nothing.
        held_out_fraction: Whole groups are held out, in an order made by hashing (split seed, group), until they
            have this share of the training images or more.
        seed: The split seed.

    Raises:
        GraftError: Nothing would be left to train on.
    """
    if test_from == "none":
        return list(entries)
    sizes = Counter(entry.group for entry in entries if entry.split == "train")
    held_out = _hold_out(sizes, held_out_fraction, seed)
    if len(held_out) == len(sizes):
        raise GraftError(
            f"{held_out_fraction} of {sizes.total()} training images in {len(sizes)} groups leave nothing to train on",
            where="ingest.source.held_out_fraction",
            rule="whole groups are held out of the official training images",
            remedy="lower it, or set test_from: none and evaluate.split: val",
        )
    of_held_out, of_val = ("val", "test") if test_from == "val" else ("test", "val")
    return [
        replace(entry, split=of_val if entry.split == "val" else of_held_out if entry.group in held_out else "train")
        for entry in entries
    ]


def split_one_list(entries: Sequence[Entry], test_from: TestFrom, held_out_fraction: float, seed: int) -> list[Entry]:
    """Splits a data set that says no splits: groups held out are val, and as many others test, unless it is `none`.

    Args:
        entries: Entries of one list, all of split train.
        test_from: `none` holds out val only.
        held_out_fraction: Share of the images that each takes.
        seed: The split seed.

    Raises:
        GraftError: Nothing would be left to train on.
    """
    sizes = Counter(entry.group for entry in entries)
    split_of: dict[str, str] = {}
    for split in ("val",) if test_from == "none" else ("val", "test"):
        free = Counter({group: number for group, number in sizes.items() if group not in split_of})
        share = held_out_fraction * sizes.total() / max(free.total(), 1)
        split_of |= dict.fromkeys(_hold_out(free, share, seed), split)
    if len(split_of) == len(sizes):
        raise GraftError(
            f"{counted(sizes.total(), 'image')} in {counted(len(sizes), 'group')}: held out for val and test, they "
            "leave nothing to train on",
            where="ingest.source.held_out_fraction",
            remedy="lower it, or add images",
        )
    return [replace(entry, split=split_of.get(entry.group, "train")) for entry in entries]


def _hold_out(sizes: Counter[str], fraction: float, seed: int) -> set[str]:
    taken, num_taken, num_wanted = set(), 0, fraction * sizes.total()
    for group in sorted(sizes, key=lambda group: content_seed(seed, "held out", group)):
        if num_taken >= num_wanted:
            break
        taken.add(group)
        num_taken += sizes[group]
    return taken
