"""Training with few of the labels there are, to learn what more of them, or images without any, are worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from graft.data.formats.listing import Entry
from graft.foundation.class_map import UNLABELLED
from graft.foundation.content import content_seed
from graft.foundation.errors import GraftError

NumTrain = Annotated[int, Field(ge=1)]
Rest = Literal["none", "unlabelled"]


def keep_labels(entries: Sequence[Entry], num_train: int | None, rest: Rest, seed: int) -> list[Entry]:
    """The entries with only `num_train` that are labelled and train; those of a smaller number are among them.

    Args:
        entries: Entries of all splits.
        num_train: How many stay; the first of each class, in an order made by hashing (split seed, id). None keeps all.
        rest: Fate of the others: `none` leaves them out, `unlabelled` takes mask and label from them.
        seed: The split seed.

    Raises:
        GraftError: There are fewer, or `rest` says what becomes of none.
    """
    if num_train is None:
        if rest == "none":
            return list(entries)
        raise GraftError(
            "rest is unlabelled, and num_train keeps all labels",
            where="ingest.source.rest",
            rule="rest says what becomes of the training images that num_train leaves out",
            remedy="set num_train, or leave rest out",
        )
    train = sorted(
        (entry for entry in entries if entry.split == "train"), key=lambda entry: content_seed(seed, "kept", entry.id)
    )
    if num_train > len(train):
        raise GraftError(
            f"{num_train} training images are asked for and {len(train)} are listed",
            where="ingest.source.num_train",
            remedy="null keeps all of them",
        )
    train = _in_turn(train)
    left = train[num_train:] if rest == "unlabelled" else []
    bare = [replace(entry, split=UNLABELLED, mask=None, label=None) for entry in left]
    return [*train[:num_train], *(entry for entry in entries if entry.split != "train"), *bare]


def _in_turn(entries: Sequence[Entry]) -> list[Entry]:
    """The entries, one of each class in turn, so that no class goes without while another has many."""
    met: Counter[int | None] = Counter()
    rounds = []
    for entry in entries:
        rounds.append(met[entry.label])
        met[entry.label] += 1
    return [entry for _, entry in sorted(zip(rounds, entries, strict=True), key=lambda pair: pair[0])]
