"""Which classes the values of a few masks stand for, as the option `classes` of `mask_folder` says it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from graft.data.formats.files import Found
from graft.foundation.errors import GraftError

NUM_SAMPLED = 24
MOST_VALUES = 64  # more are soft edges, or the noise of JPEG
NAME_FILES = ("classes.txt", "labels.txt", "class_names.txt", "label_names.txt")
VOID = 255


@dataclass(frozen=True)
class ValueClasses:
    """Classes and their mask values.

    Attributes:
        classes: Value of the option `classes`.
        void: Value of the option `void`.
        doubts: Doubts about the masks, a sentence each.
    """

    classes: dict[str, list[Any] | str]
    void: list[Any] = field(default_factory=list)
    doubts: tuple[str, ...] = ()


def classes_of(found: Found, masks: Sequence[str]) -> ValueClasses:
    """The classes of masks, by the values in a sample of them.

    Args:
        found: Files below the root.
        masks: Ids of the masks, evenly sampled.

    Raises:
        GraftError: None of them can be read.
    """
    greys, colours = _values(found, masks)
    if colours:
        values = [*[(grey, grey, grey) for grey in greys], *colours]
        return ValueClasses(_named([[list(colour)] for colour in sorted(set(values))], _names(found), "colour"))
    if len(greys) > MOST_VALUES:
        doubt = f"masks hold {len(greys)} values, as with soft edges or JPEG; they are cut at one half"
        return ValueClasses({"background": ["0-127"], "object": ["128-255"]}, doubts=(doubt,))
    ordered = sorted(greys)
    if len(ordered) == 1:
        doubt = f"the masks seen hold no value but {ordered[0]}"
        return ValueClasses({"background": [ordered[0]], "object": "rest"}, doubts=(doubt,))
    if len(ordered) == 2 and ordered[0] == 0:
        return ValueClasses({"background": [0], "object": [ordered[1]]})
    void = [VOID] if VOID in greys and len(ordered) > 2 else []
    return ValueClasses(_named([[value] for value in ordered if value not in void], _names(found), "class"), void)


def _values(found: Found, masks: Sequence[str]) -> tuple[set[int], set[tuple[int, ...]]]:
    """Grey values, and colours that are none, in a sample of masks."""
    import numpy as np

    from graft.data.images.codec import open_image
    from graft.data.mask_files import read_mask

    greys: set[int] = set()
    colours: set[tuple[int, ...]] = set()
    error: GraftError | None = None
    for id in masks:
        try:
            data = (found.root / found.paths[id]).read_bytes()
            with open_image(data, where=id) as image:
                values = read_mask(image, data, as_colours=False).values
        except GraftError as refusal:
            error = refusal
            continue
        if values.ndim == 3:
            met = {tuple(map(int, colour)) for colour in np.unique(values.reshape(-1, 3), axis=0)}
            greys |= {red for red, green, blue in met if red == green == blue}
            colours |= {colour for colour in met if len(set(colour)) > 1}
        else:
            greys |= set(np.unique(values).tolist())
    if not greys and not colours and error is not None:
        raise error
    return greys, colours


def _named(values: Sequence[list[Any]], names: Sequence[str], word: str) -> dict[str, list[Any] | str]:
    """Classes with the names that a file lists, if it lists as many; else numbered, a black or zero one background."""
    if len(names) == len(values):
        return dict(zip(names, values, strict=True))
    return {("background" if _is_zero(each[0]) else f"{word}_{_told(each[0])}"): each for each in values}


def _is_zero(value: Any) -> bool:
    return value in (0, [0, 0, 0])


def _told(value: Any) -> str:
    return "_".join(map(str, value)) if isinstance(value, list) else str(value)


def _names(found: Found) -> list[str]:
    """The lines of a file of class names at the root; [] where there is none."""
    named = (id for id in sorted(found.paths) if posixpath.basename(id).lower() in NAME_FILES)
    for id in named:
        text = (found.root / found.paths[id]).read_text(encoding="utf-8-sig", errors="replace")
        return [line.strip() for line in text.splitlines() if line.strip()]
    return []


def evenly(ids: Iterable[str], number: int = NUM_SAMPLED) -> list[str]:
    """As many ids as `number`, spread evenly over their order."""
    ordered = sorted(ids)
    step = max(1, len(ordered) // number)
    return ordered[::step][:number]
