"""The listing of what an annotation tool wrote: classes, splits, and masks that are painted when they are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from graft.data.formats.drawn.classes import ClassLabels, DrawnClasses, choose_classes
from graft.data.formats.drawn.painters import Painter, Shape, Size, check_inside
from graft.data.formats.files import FileReader, Found
from graft.data.formats.given_splits import GivenSplits, Splits, find_splits
from graft.data.formats.label_sets import warn_of_bare
from graft.data.formats.listing import Entry, Listing
from graft.data.formats.splits import Groups, check_fractions, check_not_empty
from graft.data.formats.translation import identity
from graft.data.formats.unlabelled_images import is_picture, outside_unlabelled_folders, unlabelled_entry
from graft.foundation.counted import counted
from graft.foundation.errors import GraftError


@dataclass(frozen=True)
class Drawing:
    """The shapes and tags that a tool wrote about one image.

    Attributes:
        file: Path of the file below the root that holds it.
        size: Height and width of the image, as the file says; None where it says none.
        labels: Labels of the shapes.
        tags: Labels of the image as a whole.
        content: The part of the file that is about this image; empty where the whole file is.
        split: Split that the file says; None where it says none.
    """

    file: str
    size: Size | None
    labels: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    content: bytes = b""
    split: str | None = None


ShapesOf = Callable[[Path, Drawing, Size], Sequence[Shape]]


@dataclass
class Drawings:
    """The drawings of all images.

    Attributes:
        of_image: Id of each image to its drawing.
        problems: Files that are not as the tool writes them, a line each.
        notes: Things left aside, a line each.
        spoiled: Ids of images whose drawing is among the problems.
        lacking: Word for what an image without a drawing lacks.
    """

    of_image: dict[str, Drawing] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    spoiled: set[str] = field(default_factory=set)
    lacking: str = "annotation"


@dataclass(frozen=True)
class DrawnOptions:
    """The options that all sources of drawn shapes have."""

    classes: ClassLabels | None
    background: str | None
    void: Sequence[str]
    val_fraction: float
    test_fraction: float
    group_pattern: str | None
    splits: Splits | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnEntry(Entry):
    """An image whose mask is painted from shapes.

    Attributes:
        drawing: The shapes that the tool wrote.
    """

    drawing: Drawing


@dataclass(frozen=True)
class DrawnReader:
    """Reads an image and paints its mask.

    Attributes:
        root: The folder.
        id_of: Value of each label.
        unnamed: Value of pixels that no shape covers.
        shapes_of: Function from root, drawing and size of the image to its shapes in drawing order; picklable.
        paint: Painter of the tool.
    """

    root: str
    id_of: Mapping[str, int]
    unnamed: int
    shapes_of: ShapesOf
    paint: Painter

    def __call__(self, entry: Entry) -> tuple[bytes, bytes | None]:
        import cv2

        from graft.data.images.codec import upright_size

        image, _ = FileReader(self.root)(entry)
        if not isinstance(entry, DrawnEntry):
            return image, None
        size = entry.drawing.size or upright_size(image)
        try:
            shapes = self.shapes_of(Path(self.root), entry.drawing, size)
            check_inside(shapes, size)
            mask = self.paint([(one, self.id_of[one.label]) for one in shapes], size, self.unnamed)
        except ValueError as error:
            raise GraftError(f"{entry.drawing.file} cannot be painted: {error}", where=entry.id) from None
        return image, cv2.imencode(".png", mask)[1].tobytes()


def visible(everything: Found, splits: Splits | None) -> Found:
    """The files that may have a drawing: those outside of folders named `unlabelled`, unless no name is a split."""
    return everything if splits == {} else outside_unlabelled_folders(everything)


def without_area_in_words(num_of_kind: Mapping[str, int]) -> list[str]:
    """A note of the shapes of each kind that covers no pixels."""
    return [f"shapes of kind {kind}, which cover no pixels: {number}" for kind, number in sorted(num_of_kind.items())]


def list_drawn(
    source: str,
    task: str,
    seed: int,
    everything: Found,
    drawings: Drawings,
    options: DrawnOptions,
    shapes_of: ShapesOf,
    paint: Painter,
) -> Listing:
    """The listing of a tool's drawings, for segmentation of their shapes, or for labels of images, their tags.

    Args:
        source: Name of the source.
        task: `segmentation`, `classification`, where each image has one tag, or `multilabel`.
        seed: Split seed.
        everything: Files below the root.
        drawings: Drawings by image.
        options: Options of the source.
        shapes_of: As in `DrawnReader`.
        paint: As in `DrawnReader`.

    Raises:
        GraftError: Labels do not fit the classes, or a split is empty.
    """
    check_fractions(options.val_fraction, options.test_fraction)
    found, groups = visible(everything, options.splits), Groups(options.group_pattern)
    bare = sorted(id for id in everything.paths if id not in found.paths and is_picture(id))
    without = _undrawn(found, drawings)
    usable = {id: drawing for id, drawing in drawings.of_image.items() if id not in found.refused}
    problems = [*found.problems, *drawings.problems, *found.refusals(drawings.of_image), *everything.refusals(bare)]
    is_drawn = task == "segmentation"
    if task == "classification":
        without |= _untagged(usable)
        usable = {id: drawing for id, drawing in usable.items() if len(drawing.tags) == 1}
    met = Counter(one for drawing in usable.values() for one in (drawing.labels if is_drawn else drawing.tags))
    background = options.background if is_drawn else None
    void = options.void if is_drawn else ()
    classes = choose_classes(met, options.classes, background, void) if usable else DrawnClasses((), {}, 0)
    given = _given(found, usable, options.splits)
    entries, notes = _entries(found, usable, given, groups, (seed, options, task, classes))
    problems += [*without.values(), *groups.problems]
    if not problems:
        check_not_empty(entries, given.needed(options.test_fraction))
    entries += [unlabelled_entry(everything, id) for id in bare if id not in everything.refused]
    class_map = classes.class_map(task, source, official_splits=given.are_official)
    reader = DrawnReader(str(everything.root), classes.id_of, classes.unnamed, shapes_of, paint)
    translation = identity(class_map.num_classes) if task == "segmentation" else None
    notes = [*drawings.notes, *given.notes, *notes]
    doubts = classes.warnings(met) + warn_of_bare([entry.labels for entry in entries])
    return Listing(class_map, entries, reader, translation, sorted(problems), notes, doubts, without_target=without)


def _entries(
    found: Found,
    drawings: Mapping[str, Drawing],
    given: GivenSplits,
    groups: Groups,
    made_with: tuple[int, DrawnOptions, str, DrawnClasses],
) -> tuple[list[Entry], list[str]]:
    """The entries of drawn images, and a note of how many of them bear no shape."""
    (seed, options, task, classes), entries, num_bare = made_with, [], 0
    for id, drawing in sorted(drawings.items()):
        group = groups.of(id)
        split = given.assign(id, group, seed, options.val_fraction, options.test_fraction)
        if split is None:
            continue
        place = (id, split, "unspecified", group, found.paths[id])
        if task == "classification":
            entries.append(Entry(*place, label=classes.id_of[drawing.tags[0]]))
            continue
        if task == "multilabel":
            has = {classes.id_of[tag] for tag in drawing.tags}
            entries.append(Entry(*place, labels=bytes(number in has for number in range(len(classes.names)))))
            continue
        if options.background is not None or drawing.labels:
            entries.append(DrawnEntry(*place, drawing=drawing))
        num_bare += not drawing.labels
    whole = "left aside" if options.background is None else f"all {options.background}"
    return entries, [f"images without a shape, {whole}: {num_bare}"] if num_bare else []


def _given(found: Found, drawings: Mapping[str, Drawing], splits: Splits | None) -> GivenSplits:
    """The splits that the tool's files say, or else those of folders and lists."""
    said = {id: drawing.split for id, drawing in drawings.items() if drawing.split is not None}
    if splits is None and said and len(said) == len(drawings) and "train" in said.values():
        return GivenSplits(said)
    given = find_splits(found, drawings.keys(), splits)
    if splits is not None or not said:
        return given
    note = f"splits that the tool's files say of {len(said)} of {counted(len(drawings), 'image')}, which were not used"
    return replace(given, notes=(*given.notes, f"{note}: all images need one, and train is among them"))


def _undrawn(found: Found, drawings: Drawings) -> dict[str, str]:
    drawn = drawings.of_image.keys() | drawings.spoiled
    return {id: f"{id}: image without {drawings.lacking}" for id in found.paths if is_picture(id) and id not in drawn}


def _untagged(drawings: Mapping[str, Drawing]) -> dict[str, str]:
    return {
        id: f"{id}: {drawing.file} gives it {' and '.join(drawing.tags) or 'no label'}; an image has one label"
        for id, drawing in drawings.items()
        if len(drawing.tags) != 1
    }
