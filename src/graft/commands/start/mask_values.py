"""Which classes the values of a few masks stand for, as the option `classes` of `mask_folder` says it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from graft.commands.start.mask_pairs_found import OF_MASKS
from graft.data.formats.array_masks import array_of_mask, keys_of
from graft.data.formats.files import Found
from graft.foundation.errors import GraftError

NUM_SAMPLED = 24
MOST_VALUES = 64  # more are soft edges, or the noise of JPEG
NAME_FILES = ("classes.txt", "labels.txt", "class_names.txt", "label_names.txt")
VOID = 255
BINARY = ("background", "object")


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


def mask_key_of(found: Found, masks: Sequence[str]) -> str | None:
    """The one array in a MATLAB file that is named as masks are, where it holds several; else None."""
    data = (found.root / found.paths[masks[0]]).read_bytes() if masks and masks[0].lower().endswith(".mat") else b""
    try:
        keys = keys_of(data) if data else []
    except (GraftError, ValueError, TypeError, NotImplementedError):
        return None
    named = [key for key in keys if OF_MASKS.fullmatch(key.split(".")[-1].lower())]
    return named[0] if len(keys) > 1 and len(named) == 1 else None


def classes_of(found: Found, masks: Sequence[str], mask_key: str | None = None) -> ValueClasses:
    """The classes of masks, by the values in a sample of them.

    Args:
        found: Files below the root.
        masks: Ids of the masks, evenly sampled.
        mask_key: Array that is the mask, where a file holds several.

    Raises:
        GraftError: None of them can be read, or their colours are too many to be classes.
    """
    met = _meet(found, masks, mask_key)
    names = _names(found)
    if met.colours:
        return _of_colours(met, names)
    ordered = sorted(met.greys)
    if len(ordered) > MOST_VALUES or (met.lossy and len(ordered) > 2):
        why = "they are stored with loss, as JPEG" if met.lossy else "as with soft edges"
        doubt = f"the masks hold {len(ordered)} values ({why}), which are cut at one half"
        return ValueClasses({"background": ["0-127"], "object": ["128-255"]}, doubts=(doubt,))
    if len(ordered) == 1:
        doubt = f"the masks seen hold no value but {ordered[0]}"
        return ValueClasses({"background": [ordered[0]], "object": "rest"}, doubts=(doubt,))
    if len(ordered) == 2 and ordered[0] == 0:
        return ValueClasses(dict(zip(names if len(names) == 2 else BINARY, ([ordered[0]], [ordered[1]]), strict=True)))
    return _of_numbers(ordered, names)


def _of_numbers(ordered: list[int], names: Sequence[str]) -> ValueClasses:
    """Classes by number; 255 is ignored where all others are small, as class ids are."""
    others = [value for value in ordered if value != VOID]
    if len(others) == len(ordered):
        return ValueClasses(_named([[value] for value in ordered], names))
    if others[-1] < MOST_VALUES:
        doubt = "255 is taken to be ignored, not a class"
        return ValueClasses(_named([[value] for value in others], names), [VOID], (doubt,))
    return ValueClasses(_named([[value] for value in ordered], names), doubts=("255 is taken to be a class",))


def _of_colours(met: Met, names: Sequence[str]) -> ValueClasses:
    """Classes by colour, none of which a list of names can tell."""
    colours = sorted({*((grey, grey, grey) for grey in met.greys), *met.colours})
    if met.lossy or len(colours) > MOST_VALUES:
        raise GraftError(
            f"the masks hold {len(colours)} colours" + (", and are stored with loss, as JPEG" if met.lossy else ""),
            rule=f"a colour is a class, and {MOST_VALUES} of them are the most that are guessed",
            remedy="export the masks as PNG, without smoothing, or say in ingest.source.classes which colours count",
        )
    doubts = (f"{len(names)} names are listed, but not which colour is which",) if names else ()
    return ValueClasses(_named([[list(colour)] for colour in colours], [], "colour"), doubts=doubts)


@dataclass
class Met:
    """Values in a sample of masks.

    Attributes:
        greys: Grey values and palette indices.
        colours: Colours that are no grey.
        lossy: Whether a mask is stored with loss.
    """

    greys: set[int] = field(default_factory=set)
    colours: set[tuple[int, ...]] = field(default_factory=set)
    lossy: bool = False


def _meet(found: Found, masks: Sequence[str], mask_key: str | None) -> Met:
    import numpy as np

    from graft.data.mask_files import decode_mask_file

    met, refusal = Met(), None
    for id in masks:
        try:
            data = array_of_mask((found.root / found.paths[id]).read_bytes(), id, mask_key)
            read = decode_mask_file(data, where=id, as_colours=False)
        except GraftError as error:
            refusal = error
            continue
        met.lossy = met.lossy or read.lossy
        if read.values.ndim == 3:
            colours = {tuple(map(int, colour)) for colour in np.unique(read.values.reshape(-1, 3), axis=0)}
            met.greys |= {red for red, green, blue in colours if red == green == blue}
            met.colours |= {colour for colour in colours if len(set(colour)) > 1}
        else:
            met.greys |= set(np.unique(read.values).tolist())
    if refusal is not None and not met.greys and not met.colours:
        raise refusal
    return met


def _named(values: Sequence[list[Any]], names: Sequence[str], word: str = "class") -> dict[str, list[Any] | str]:
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
    for id in (id for id in sorted(found.paths) if id.lower() in NAME_FILES):
        text = (found.root / found.paths[id]).read_text(encoding="utf-8-sig", errors="replace")
        return [line.strip() for line in text.splitlines() if line.strip()]
    return []


def evenly(ids: Iterable[str], number: int = NUM_SAMPLED) -> list[str]:
    """As many ids as `number`, spread evenly over their order."""
    ordered = sorted(ids)
    step = max(1, len(ordered) // number)
    return ordered[::step][:number]
