"""The answer of every format: the class map, the samples that were found, and what is wrong with the folder."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graft.data.formats.translation import Translation, Translations
from graft.foundation.class_map import ClassMap
from graft.foundation.errors import GraftError


@dataclass(frozen=True, slots=True)
class Entry:
    """A sample that was found and not yet read.

    Attributes:
        id: POSIX path of the image below the root, Unicode NFC.
        split: train, val, test or unlabelled.
        domain: Place or time of the image, as far as the source says.
        group: Unit that must stay in one split (a clip, a patient); the id where the source knows none.
        image: Key by which the reader finds the image: a path below the root as it lies on disk, or a number.
        mask: Path of the mask below the root, if there is one.
        label: Class id, for classification.
        labels: For multilabel a byte for each of the K classes, one where the image has it and zero where it has not.
    """

    id: str
    split: str
    domain: str
    group: str
    image: str | int
    mask: str | None = None
    label: int | None = None
    labels: bytes | None = None

    @property
    def beside(self) -> tuple[str, ...]:
        """Names of the files that follow the image as further channels."""
        return ()

    @property
    def image_id(self) -> str:
        """Id of the image that the entry is, or is a part of."""
        return self.id


Reader = Callable[[Entry], tuple[bytes, bytes | None]]
Cut = Callable[[Sequence[Entry]], tuple[list[Entry], list[str]]]


class LeftOut(GraftError):  # noqa: N818  nothing is wrong
    """Raised by a reader about an entry that holds nothing to learn from, as a tile beyond the edge of a map."""


def read_within(read: Reader, max_pixels: int) -> Reader:
    """The reader with a limit on what it decodes at once, where it decodes at all."""
    within = getattr(read, "within", None)
    return read if within is None else within(max_pixels)


@dataclass(frozen=True)
class Listing:
    """Everything a format found below the root.

    Attributes:
        class_map: The classes, with what they are called in the source.
        entries: The samples, in any order.
        read: Picklable; gives the encoded image of an entry and its encoded mask in the source's own values.
        translation: From the mask values of the source to class ids, `translation.of(entry)` for an entry; None for
            classification.
        problems: Files that cannot become a row, a line each; `ingest` adds those that cannot be read and lists all.
        notes: Files that were left aside, for a person to know of.
        warnings: Doubts about what was read, a sentence each.
        without_target: Id of each image that has no mask or label where one is expected, to its line of `problems`.
        cut: Function that cuts further images as those of the source were cut, and returns the problems of those that
            cannot be; None where entries are whole images.
        not_images: Paths below the root of pictures that are no images, as masks that are not the mask of an entry.
    """

    class_map: ClassMap
    entries: Sequence[Entry]
    read: Reader
    translation: Translation | Translations | None = None
    problems: Sequence[str] = field(default=())
    notes: Sequence[str] = field(default=())
    warnings: Sequence[str] = field(default=())
    without_target: Mapping[str, str] = field(default_factory=dict)
    cut: Cut | None = None
    not_images: Collection[str] = field(default=())


def check_task(task: str, needed: str, source: str) -> None:
    """Refuses a task whose targets a source does not have."""
    if task != needed:
        has = "masks" if needed == "segmentation" else "labels"
        raise GraftError(
            f"{source} has {has}, which {task} cannot use",
            where="ingest.source",
            rule=f"{source} is a source for {needed}",
            remedy=f"set task: {needed}, or choose another source",
        )


def distinct_colours(num_classes: int) -> tuple[tuple[int, int, int], ...]:
    """RGB colours for classes whose source has none: hues a golden angle apart, so neighbours differ."""

    def colour(index: int) -> tuple[int, int, int]:
        red, green, blue = colorsys.hsv_to_rgb(index * 0.618034 % 1.0, 0.75 - 0.25 * (index % 2), 0.95)
        return round(255 * red), round(255 * green), round(255 * blue)

    return tuple(colour(index) for index in range(num_classes))


def source_values(values: Any) -> Any:
    """Lists turned into tuples all the way down, as a class map holds them."""
    return tuple(source_values(value) for value in values) if isinstance(values, (list, tuple)) else values
