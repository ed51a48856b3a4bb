"""The rules about masks that stop the pipeline."""

from __future__ import annotations

from typing import Any

from graft.data.expectations.rules import Rule, absent
from graft.foundation.class_map import ClassMap

# Sources whose option `classes` says what a mask value means.
OWN_CLASSES = ("mask_folder", "csv", "stacks", "tiles")


def mask_rules(class_map: ClassMap) -> list[Rule]:
    """The rules about masks."""
    names, source = ", ".join(class_map.names), class_map.source
    return [
        absent(
            "critical", "sizes_equal", "size_difference", "an image and its mask have the same size in pixels",
            "each pixel would be taught the class of another one",
            "export the mask again at the size of its image (nearest neighbour), turn it where its sides are exchanged,"
            " or pair the right files",
        ),
        absent(
            "critical", "turned_alike", "turned_apart", "an image and its mask are turned alike by their EXIF tags",
            "photographs are read as a viewer shows them; a mask drawn on the stored picture lies on its side there",
            "where masks were drawn on the stored pictures, take the tag out of the photographs (exiftool -Orientation="
            " FOLDER), else turn the masks as the photographs are turned; resizing would squash them",
        ),
        absent(
            "critical", "mask_values_known", "unknown_mask_values",
            f"every mask value belongs to a class ({names}) or is ignored",
            "pixels of no class are left out of training and scores without anyone deciding so",
            "correct the mask"
            + (", or name the value in the classes of ingest.source" if source in OWN_CLASSES else ""),
        ),
        absent(
            "critical", "palettes_equal", "other_palette",
            "a value stands for one colour in the palettes of all masks",
            "masks with palettes are read by position: where palettes differ, the same position is another class",
            "name classes by colours in ingest.source, as [[128, 64, 0]]; colours are looked up in each file's palette",
        ),
        absent(
            "critical", "masks_in_colours", "alpha_mask", "the shape of a mask lies in its colours or grey values",
            "transparency of a mask is not read: such a mask shows one class everywhere",
            "export the masks without transparency, or make grey ones of the alpha channel"
            " (ImageMagick: magick mask.png -alpha extract grey.png)",
        ),
        lossless_rule(class_map),
    ]  # fmt: skip


def lossless_rule(class_map: ClassMap) -> Rule:
    """The rule about compression: where ranges of values make every class, blurred edges are all that is lost."""
    by_ranges = all(_is_range(value) for values in class_map.source_values for value in _as_values(values))
    return absent(
        "warning" if by_ranges else "critical", "masks_lossless", "lossy_mask",
        "masks are stored in a lossless format",
        "lossy compression blurs class values into other values, above all along edges"
        + ("; classes that are ranges take most of it up" if by_ranges else ""),
        "export the masks again as PNG from the annotations; saving the lossy file as PNG does not restore them"
        + ("" if by_ranges else ". Where a set is published so, give every class a range of values, as \"128-255\""),
    )  # fmt: skip


def _as_values(values: Any) -> tuple[Any, ...]:
    return values if isinstance(values, tuple) else (values,)


def _is_range(value: Any) -> bool:
    return isinstance(value, str)
