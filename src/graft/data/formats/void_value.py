"""A mask value that no class has, in which tiles store pixels without data."""

from __future__ import annotations

from dataclasses import dataclass, replace

from graft.data.formats.translation import Translation

MOST_GREY = 65535


@dataclass(frozen=True)
class VoidValue:
    """The value of pixels without data, in masks of grey values and in masks of colours."""

    grey: int
    colour: tuple[int, int, int]


def with_void_value(translation: Translation) -> tuple[Translation, VoidValue]:
    """The translation that ignores one value more, and that value: the largest that the source gives no meaning."""
    ranges = [*translation.void_grey, *(pair for each in translation.grey for pair in each)]
    colours = {*translation.void_colours, *(colour for each in translation.colours for colour in each)}
    greys = {colour[0] for colour in colours if len(set(colour)) == 1}
    free = (value for value in range(MOST_GREY, -1, -1) if value not in greys)
    grey = next((value for value in free if not any(first <= value <= last for first, last in ranges)), MOST_GREY)
    colour = next((255, green, 0) for green in range(255, -1, -1) if (255, green, 0) not in colours)
    more = (colour,) if translation.reads_colours else ()
    ignoring = replace(
        translation,
        void_grey=(*translation.void_grey, (grey, grey)),
        void_colours=(*translation.void_colours, *more),
    )
    return ignoring, VoidValue(grey, colour)
