"""From the mask values a source uses to class ids, by one look-up per pixel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from graft.data.formats.listing import Entry

VOID = 255
UNKNOWN = 254  # only inside this module: a pixel whose value is in no class
MOST_CLASSES = 254
NUM_UNKNOWN_SHOWN = 5


@dataclass(frozen=True)
class Translated:
    """A mask in class ids and what was met on the way.

    Attributes:
        mask: uint8 [H, W], ids 0…K-1, 255 where ignored or unknown; the values themselves where they are the ids.
        counts: K pixel counts.
        void: Pixels the source marks as ignored.
        unknown: Pixels whose value is in no class.
        unknown_values: The first few of those values, smallest first, as in the source.
        rest_values: How many values were met that nobody names and that became the class `rest`; None without one.
    """

    mask: np.ndarray
    counts: tuple[int, ...]
    void: int
    unknown: int
    unknown_values: tuple[str, ...]
    rest_values: int | None = None


@dataclass(frozen=True)
class Translation:
    """Which source values make which class.

    Attributes:
        grey: For each class its inclusive ranges of grey values (palette indices count as grey values).
        colours: For each class its RGB triples; where any class has one, masks are read as RGB and a grey value v
            means (v, v, v).
        void_grey: Ranges of grey values that are ignored; of masks with signed samples negative ones too.
        void_colours: RGB triples that are ignored.
        rest: The class of every value nobody names, 255 where they are ignored, or None where they are unknown.
    """

    grey: tuple[tuple[tuple[int, int], ...], ...]
    colours: tuple[tuple[tuple[int, int, int], ...], ...]
    void_grey: tuple[tuple[int, int], ...] = ()
    void_colours: tuple[tuple[int, int, int], ...] = ()
    rest: int | None = None

    @property
    def reads_colours(self) -> bool:
        return any(self.colours) or bool(self.void_colours)

    def of(self, entry: Entry) -> Translation:
        """The translation of the mask of an entry: this one."""
        return self

    def apply(self, values: np.ndarray) -> Translated:
        """Translates a mask.

        Args:
            values: Integers [H, W] (grey values, palette indices) or uint8 [H, W, 3] (RGB).
        """
        import numpy as np

        if values.ndim == 3 and (values[..., :1] == values[..., 1:]).all():
            values = values[..., 0]
        is_rgb = values.ndim == 3
        table = _table(self, is_rgb)
        if values.dtype == np.uint8 and not is_rgb:
            ids, counts, strange, rest = _translate_bytes(values, table[:256], self.rest)
        else:
            codes = values.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32) if is_rgb else values
            ids, counts, strange, rest = _translate_codes(codes, table, self)
        return Translated(
            mask=ids,
            counts=tuple(int(count) for count in counts[: len(self.grey)]),
            void=int(counts[VOID]),
            unknown=int(counts[UNKNOWN]),
            unknown_values=tuple(_named(int(code), is_rgb) for code in strange[:NUM_UNKNOWN_SHOWN]),
            rest_values=None if self.rest is None else rest,
        )


@dataclass(frozen=True)
class Translations:
    """The translations of several sources, of which each entry of `graft.data.formats.joined` knows its own."""

    of_source: tuple[Translation, ...]

    def of(self, entry: Entry) -> Translation:
        """The translation of the source that the entry came from."""
        return self.of_source[entry.source]  # type: ignore[attr-defined]


# Ids, pixels by id, the unknown values, and the number of values that became the class `rest`.
Met = tuple["np.ndarray", "np.ndarray", "np.ndarray", int]


def _translate_bytes(values: np.ndarray, table: np.ndarray, rest: int | None) -> Met:
    """Translates an 8-bit mask by one histogram; ids are `values` themselves where each value is its class."""
    import cv2
    import numpy as np

    from graft.foundation.value_counts import value_counts

    met = value_counts(values)
    present = np.flatnonzero(met)
    targets = table[present]
    counts = np.bincount(targets, weights=met[present], minlength=256)
    num_rest = 0 if rest is None else int(np.count_nonzero(targets == rest))
    same = bool(((targets == present) & (targets != UNKNOWN)).all())  # 254 itself may be a value of no class
    ids = values if same else cv2.LUT(values, np.where(table == UNKNOWN, np.uint8(VOID), table))
    return ids, counts, present[targets == UNKNOWN], num_rest


def _translate_codes(codes: np.ndarray, table: np.ndarray, translation: Translation) -> Met:
    """Translates grey values of any size, or RGB packed into one number."""
    import numpy as np

    rest = translation.rest
    ids = np.take(table, codes, mode="clip")
    ids[(codes < 0) | (codes >= len(table))] = UNKNOWN if rest is None else rest
    for first, last in translation.void_grey:
        if first < 0:
            ids[(codes >= first) & (codes <= last)] = VOID
    counts, strange = np.bincount(ids.ravel(), minlength=256), np.unique(codes[ids == UNKNOWN])
    num_rest = 0 if rest is None else len(np.unique(codes[ids == rest]))
    ids[ids == UNKNOWN] = VOID
    return ids, counts, strange, num_rest


@cache
def _table(translation: Translation, is_rgb: bool) -> np.ndarray:
    """Class id by grey value, [65536], or by red << 16 | green << 8 | blue, [2**24]; built once a process."""
    import numpy as np

    table = np.full(1 << 24 if is_rgb else 1 << 16, UNKNOWN if translation.rest is None else translation.rest, np.uint8)
    classes = [*enumerate(zip(translation.grey, translation.colours, strict=True))]
    for index, (ranges, colours) in [*classes, (VOID, (translation.void_grey, translation.void_colours))]:
        for first, last in ranges:
            if is_rgb:
                table[[value * 0x010101 for value in range(max(first, 0), min(last, 255) + 1)]] = index
            else:
                table[max(first, 0) : max(last + 1, 0)] = index
        for red, green, blue in colours:
            if is_rgb:
                table[red << 16 | green << 8 | blue] = index
            elif red == green == blue:
                table[red] = index
    return table


def _named(code: int, is_rgb: bool) -> str:
    return f"({code >> 16}, {code >> 8 & 255}, {code & 255})" if is_rgb else str(code)


def identity(num_classes: int) -> Translation:
    """Grey value k is class k and 255 is ignored."""
    return Translation(tuple(((k, k),) for k in range(num_classes)), ((),) * num_classes, void_grey=((VOID, VOID),))
