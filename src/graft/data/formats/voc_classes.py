"""The classes of data in the layout of PASCAL VOC: its own twenty, a list, or the file that a tool wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from graft.data.formats.class_values import class_map_of, translation_of
from graft.data.formats.files import Found
from graft.data.formats.translation import MOST_CLASSES, Translation, identity
from graft.foundation.class_map import ClassMap
from graft.foundation.errors import GraftError

NAMES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
LABEL_MAP = "labelmap.txt"
RIM = (224, 224, 192)  # VOCcolormap of 255
UNNAMED, IGNORED, NO_LABEL = "_background_", "__ignore__", -1  # of labelme
WHERE = "ingest.source.classes"
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class VocClasses:
    """The classes of masks and how their values are translated.

    Attributes:
        class_map: Names, colours, values.
        translation: From values of masks to ids.
    """

    class_map: ClassMap
    translation: Translation


def voc_classes(found: Found, classes: Sequence[str] | str | None, *, official_splits: bool) -> VocClasses:
    """The classes that the option `classes` of `voc` says.

    Args:
        found: Files below the root.
        classes: Names in order of index, a file that names them, or None for the twenty of PASCAL VOC.
        official_splits: Whether lists made the splits.

    Raises:
        GraftError: The file is not there, or holds other lines; lists all.
    """
    if classes is None:
        _refuse_other_label_map(found)
        licence = "unknown (the images are from Flickr, under its terms of use)"
        return _by_index(NAMES, licence, official_splits=official_splits)
    if not isinstance(classes, str):
        return _by_index(classes, "unknown", official_splits=official_splits)
    lines = _lines(found, classes)
    if classes.rsplit("/", 1)[-1] != LABEL_MAP:
        names = ["background" if line == UNNAMED else line for line in lines if line != IGNORED]
        return _by_index(names, "unknown", official_splits=official_splits)
    colours = _label_map(lines, classes)
    by_colour = {name: [[*colour]] for name, colour in colours.items()}
    void = [] if RIM in colours.values() else [[*RIM]]
    translation = translation_of(by_colour, void)
    return VocClasses(class_map_of(by_colour, translation, source="voc", official_splits=official_splits), translation)


def colour_of(index: int) -> Colour:
    """The colour of the devkit: bit k of red, green and blue, from the highest, are bits 3k, 3k + 1, 3k + 2."""

    def channel(first: int) -> int:
        return sum((index >> (3 * bit + first) & 1) << (7 - bit) for bit in range(8))

    return channel(0), channel(1), channel(2)


def _by_index(names: Sequence[str], licence: str, *, official_splits: bool) -> VocClasses:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not 2 <= len(names) <= MOST_CLASSES:
        raise GraftError(
            f"{', '.join(twice)} stands there twice" if twice else f"{len(names)} classes",
            where=WHERE,
            rule=f"there are 2 to {MOST_CLASSES} classes, in order of their index, the background among them",
        )
    class_map = ClassMap(
        task="segmentation",
        names=tuple(names),
        colors=tuple(colour_of(index) for index in range(len(names))),
        source_values=tuple(range(len(names))),
        official_splits=official_splits,
        synthetic=False,
        source="voc",
        licence=licence,
    )
    translation = identity(len(names))
    return VocClasses(class_map, replace(translation, void_grey=(*translation.void_grey, (NO_LABEL, NO_LABEL))))


def _refuse_other_label_map(found: Found) -> None:
    if LABEL_MAP not in found.paths:
        return
    others = [name for name in _label_map(_lines(found, LABEL_MAP), LABEL_MAP) if name not in NAMES]
    if others:
        raise GraftError(
            f"{LABEL_MAP} names {', '.join(others[:3])}, which PASCAL VOC has not",
            where=WHERE,
            remedy=f"classes: {LABEL_MAP} takes the classes and colours that it names",
        )


def _lines(found: Found, file: str) -> list[str]:
    """The lines of a file of names that are neither empty nor comments.

    Raises:
        GraftError: It is not there or cannot be read.
    """
    if file not in found.paths or file in found.refused:
        raise GraftError(
            found.refused.get(file, f"there is no {file}; {found.in_words()}"),
            where=WHERE,
            rule=f"classes are listed, or named by a file below the root, as {LABEL_MAP} of CVAT",
        )
    try:
        text = (found.root / found.paths[file]).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise GraftError(f"it cannot be read ({error})", where=file) from None
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _label_map(lines: Sequence[str], file: str) -> dict[str, Colour]:
    """The colour of each class, by lines such as `crack:250,50,83::`.

    Raises:
        GraftError: Lines are none, or two are of one name or colour; lists all.
    """
    colours: dict[str, Colour] = {}
    problems = []
    for line in lines:
        name, *fields = line.split(":")
        channels = fields[0].split(",") if fields else []
        if len(channels) != 3 or not all(one.strip().isdecimal() and int(one) <= 255 for one in channels):
            problems.append(f"expected label:red,green,blue:parts:actions, found {line!r}")
            continue
        colour = (int(channels[0]), int(channels[1]), int(channels[2]))
        if name in colours or colour in colours.values():
            problems.append(f"{line!r}: its name or its colour stands there twice")
        colours.setdefault(name, colour)
    if problems:
        raise GraftError.of_all(f"{file} cannot be used", problems)
    return colours
