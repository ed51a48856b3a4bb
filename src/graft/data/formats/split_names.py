"""The words for train, val and test that people write in folders, lists and tables: one list, read by every source."""

from __future__ import annotations

import re

WORDS_FOR_SPLIT = {
    "train": ("train", "training", "trn", "trainval"),
    "val": ("val", "valid", "validation", "validate", "dev", "development"),
    "test": ("test", "testing", "tst", "testdev"),
    "unlabelled": ("unlabelled", "unlabeled"),
}
SPLIT_OF_WORD = {word: split for split, words in WORDS_FOR_SPLIT.items() for word in words}
# May stand beside the word: train_set, val(id), test-images, Train Data, seg_train, train2017, list_train, testset.
BESIDE = frozenset(
    {
        "set",
        "data",
        "dataset",
        "split",
        "subset",
        "part",
        "image",
        "images",
        "img",
        "imgs",
        "photos",
        "seg",
        "id",
        "ood",
    }
    | {"list", "ids", "file", "files", "filenames", "names", "paths", "frames", "clips", "videos", "samples"}
)
GLUED = re.compile(r"(.+?)(?:set|data|split|images?|imgs?|list|files|ids)")


def split_named(name: str) -> str | None:
    """The split a folder, a list or the cell of a table is named after, whatever its case; None for any other name."""
    words = [word for word in re.split(r"[^a-z]+", name.lower()) if word and word not in BESIDE]
    word = "".join(words)
    if word not in SPLIT_OF_WORD and (glued := GLUED.fullmatch(word)):
        word = glued[1]
    return SPLIT_OF_WORD.get(word)
