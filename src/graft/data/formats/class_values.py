"""The option `classes` of `mask_folder` and `csv`: which mask values make which class."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from graft.data.formats.listing import distinct_colours, source_values
from graft.data.formats.translation import MOST_CLASSES, Translation
from graft.foundation.class_map import ClassMap
from graft.foundation.errors import GraftError

Value = int | str | list[int]
Classes = dict[str, list[Value] | Literal["rest"]]
Range = tuple[int, int]
Colour = tuple[int, int, int]
LARGEST_GREY = 65535
VOID_NAME, SMALLEST_VOID = "void", -(1 << 31)  # no data, as -9999 in masks of signed samples


def translation_of(classes: Mapping[str, Sequence[Value] | str], void: Sequence[Value]) -> Translation:
    """The translation that `classes` (and the ignored values `void`) describe.

    Raises:
        GraftError: Values that are no grey value, range or colour, or that two classes claim; lists all.
    """
    problems: list[str] = []
    read = {name: _values(name, values, problems) for name, values in classes.items() if values != "rest"}
    ignored = _values(VOID_NAME, void, problems) if void else ([], [])
    rest = [name for name, values in classes.items() if values == "rest"]
    problems += [f"{name}: only one class can be the rest, and {rest[0]} is" for name in rest[1:]]
    problems += _claimed_twice([*read.items(), (VOID_NAME, ignored)])
    if not 2 <= len(classes) <= MOST_CLASSES:
        problems.append(f"{len(classes)} classes; there must be 2 to {MOST_CLASSES}")
    if problems:
        raise GraftError.of_all(
            "ingest.source.classes cannot be used",
            problems,
            remedy='a class lists grey values [0], ranges ["1-254"], RGB colours [[128, 64, 0]], or is rest',
        )
    both = [read.get(name, ([], [])) for name in classes]
    return Translation(
        grey=tuple(tuple(ranges) for ranges, _ in both),
        colours=tuple(tuple(colours) for _, colours in both),
        void_grey=tuple(ignored[0]),
        void_colours=tuple(ignored[1]),
        rest=list(classes).index(rest[0]) if rest else None,
    )


def class_map_of(
    classes: Mapping[str, Any], translation: Translation, *, source: str, official_splits: bool
) -> ClassMap:
    """The class map of such classes; one that is named by a colour is drawn in it."""
    drawn = zip(translation.colours, distinct_colours(len(classes)), strict=True)
    return ClassMap(
        task="segmentation",
        names=tuple(classes),
        colors=tuple(own[0] if own else other for own, other in drawn),
        source_values=source_values([*classes.values()]),
        void_values=(*(_as_value(*pair) for pair in translation.void_grey if pair[1] >= 0), *translation.void_colours),
        official_splits=official_splits,
        synthetic=False,
        source=source,
    )


def _as_value(first: int, last: int) -> int | str:
    """An ignored range as `void` writes it; negative values are left out, which no written mask holds."""
    return last if first == last else f"{max(first, 0)}-{last}"


def _values(name: str, values: Sequence[Any], problems: list[str]) -> tuple[list[Range], list[Colour]]:
    ranges: list[Range] = []
    colours: list[Colour] = []
    smallest = SMALLEST_VOID if name == VOID_NAME else 0
    for value in values:
        if isinstance(value, int) and smallest <= value <= LARGEST_GREY:
            ranges.append((value, value))
        elif isinstance(value, str) and (found := re.fullmatch(r"\s*(-?\d+)\s*-\s*(-?\d+)\s*", value)):
            first, last = int(found[1]), int(found[2])
            ranges.append((first, last))
            fits = smallest <= first <= last <= LARGEST_GREY
            problems += [] if fits else [f"{name}: range {value!r} is empty or holds values out of reach"]
        elif isinstance(value, Sequence) and len(value) == 3 and all(_is_byte(part) for part in value):
            colours.append((value[0], value[1], value[2]))
        else:
            problems.append(f"{name}: {value!r} is no grey value, range or RGB colour" + _hint(value))
    if not values:
        problems.append(f"{name}: lists no value")
    return ranges, colours


def _hint(value: object) -> str:
    if isinstance(value, int) and value < 0:
        return " (void alone can be negative: predictions are written in the values of the classes, as PNG)"
    return ""


def _is_byte(value: object) -> bool:
    return isinstance(value, int) and 0 <= value <= 255


def _claimed_twice(read: Sequence[tuple[str, tuple[list[Range], list[Colour]]]]) -> list[str]:
    """Problems of values in two classes; the colour (v, v, v) and the grey value v are the same."""
    problems = []
    claims: list[tuple[int, int, str]] = []
    owner: dict[Colour, str] = {}
    for name, (ranges, colours) in read:
        claims += [(first, last, name) for first, last in ranges]
        for colour in colours:
            if len(set(colour)) == 1:
                claims.append((colour[0], colour[0], name))
            elif colour in owner:
                problems.append(f"{name}: {colour} is claimed by {owner[colour]} too")
            owner.setdefault(colour, name)
    claims.sort()
    for (_, last, before), (first, _, name) in itertools.pairwise(claims):
        if first <= last:
            problems.append(f"{name}: {first} is claimed by {before} too")
    return problems
