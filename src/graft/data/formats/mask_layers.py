"""Images with several mask files each: one for each class, or one for each instance."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from graft.data.formats.array_masks import array_of_mask, is_array
from graft.data.formats.class_values import Value, translation_of
from graft.data.formats.drawn.classes import ClassLabels
from graft.data.formats.drawn.drawn_listing import Drawing, Drawings, DrawnOptions, list_drawn, visible
from graft.data.formats.drawn.painters import Shape, Size, paint_as_cvat, pixels_of
from graft.data.formats.files import Found, find_files
from graft.data.formats.given_splits import Splits
from graft.data.formats.layer_files import LayerPattern, Layers, find_layers
from graft.data.formats.listing import Listing, check_task
from graft.data.formats.missing_masks import MissingMask, missing_in_words
from graft.data.formats.patterns import ImagePattern
from graft.data.formats.split_names import split_named
from graft.data.formats.splits import TestFraction, ValFraction
from graft.data.formats.translation import Translation
from graft.data.formats.unlabelled_images import is_picture, unlabelled_entry
from graft.foundation.class_map import UNLABELLED
from graft.foundation.errors import GraftError

if TYPE_CHECKING:
    import numpy as np

MOST_PIXELS = 1 << 28


def mask_layers(
    task: str,
    seed: int,
    root: Path,
    *,
    images: str,
    masks: str,
    classes: ClassLabels | None = None,
    background: str | None = "background",
    void: list[str] = [],  # noqa: B006  options are read, never changed
    foreground: list[Value] | None = None,
    missing_mask: MissingMask = "refuse",
    val_fraction: ValFraction = 0.15,
    test_fraction: TestFraction = 0.2,
    group_pattern: str | None = None,
    splits: Splits | None = None,
) -> Listing:
    """Images with several mask files each: a file for each class, or for each instance of one.

    For exports of one mask a label (`masks/NAME/crack.png`, `NAME_crack.png`) and for instances in files of their own,
    as the Data Science Bowl 2018 has its nuclei (`*/images/*.png`, `{1}/masks/*.png`, `classes: [nucleus]`). Where
    masks overlap, later classes lie on those before them, and `void` on all; a class without a file is not in the
    image. Splits are found as `mask_folder` finds them. Images in folders named `unlabelled` need no mask.

    Args:
        images: Glob below the root, as in `mask_folder`; what is the mask of an image is none.
        masks: Path of the masks of an image, as in `mask_folder`, with `{class}` for the name of a class and `*` for
            what tells instances apart. A file that two images could claim is that of the longer name.
        classes: Names in the place of `{class}` that are classes, in this order, or each class and its names, as in
            {damage: [crack, hole]}; null makes each name a class, in order of the alphabet. Without `{class}`, the one
            class of all masks.
        background: Name of class 0, every pixel of no mask; null ignores those pixels.
        void: Names whose pixels are ignored.
        foreground: Mask values that belong to the class, as in `classes` of `mask_folder`; null takes all but 0.
        missing_mask: An image without any mask is refused; or is all `background`; or is `unlabelled`.
        val_fraction: Share of the groups that go to val, where no folder or list says it.
        test_fraction: Share of the groups that go to test, where neither val nor test is given; 0 makes no test split.
        group_pattern: Regular expression over the id; images in which it finds the same stay in one split.
        splits: Split to its folder or list, or several; null finds them by name, `{}` uses none.
    """
    check_task(task, "segmentation", "mask_layers")
    read, pattern = LayerReading(_translation(foreground), foreground is None), ImagePattern(images)
    where = LayerPattern(masks, pattern)
    only = _only_class(where, classes)
    everything = find_files(root)
    found = visible(everything, splits)
    layers = find_layers(found.paths, _images(found, pattern), where)
    labels = [label for one in classes.values() for label in one] if isinstance(classes, dict) else classes or []
    drawings = _drawings(found, layers, where, [*labels, *void], only)
    without = [id for id, files in layers.of_image.items() if not files and id not in found.refused]
    if missing_mask == "background":
        drawings.of_image |= {id: Drawing(found.paths[id], None) for id in without}
    kept = layers.of_image.keys() - set(without if missing_mask == "unlabelled" else ())
    seen = replace(everything, paths=_but_other_pictures(everything, found, kept, where))
    options = DrawnOptions(classes, background, void, val_fraction, test_fraction, group_pattern, splits)
    listing = list_drawn("mask_layers", task, seed, seen, drawings, options, read, paint_as_cvat)
    listing = replace(listing, not_images=[found.paths[file] for file in layers.files | layers.shared.keys()])
    if missing_mask == "refuse":
        return listing
    added = [unlabelled_entry(found, id) for id in without] if missing_mask == "unlabelled" else []
    notes = [*missing_in_words(len(without), missing_mask), *listing.notes]
    return replace(listing, entries=[*listing.entries, *added], notes=notes)


@dataclass(frozen=True)
class LayerReading:
    """Reads the masks of an image as shapes, each cut to the box of its pixels.

    Attributes:
        translation: Values that belong to a class become 1.
        only_zero_is_background: Whether all values but 0 do, which masks that are stored with loss do not keep.
    """

    translation: Translation
    only_zero_is_background: bool

    def __call__(self, root: Path, drawing: Drawing, size: Size) -> Sequence[Shape]:
        files = zip(json.loads(drawing.content or b"[]"), drawing.labels, strict=True)
        return [pixels_of(label, self._pixels(root, path, size)) for path, label in files]

    def _pixels(self, root: Path, path: str, size: Size) -> np.ndarray:
        """Whether pixels belong to the class, bool [H, W].

        Raises:
            GraftError: The mask cannot be read, is of another size, is stored with loss, or bears its shape in its
                transparency.
        """
        from graft.data.mask_files import decode_mask_file

        data = array_of_mask((root / path).read_bytes(), path, None, MOST_PIXELS)
        mask = decode_mask_file(data, where=path, max_pixels=MOST_PIXELS, as_colours=self.translation.reads_colours)
        if mask.values.shape[:2] != size:
            height, width = mask.values.shape[:2]
            raise GraftError(f"it has {width} x {height} pixels, and its image {size[1]} x {size[0]}", where=path)
        if mask.alpha_only:
            raise GraftError(
                "it has one colour throughout, and a shape in the transparency",
                where=path,
                rule="the shape of a mask lies in its colours or grey values",
                remedy="export the masks without transparency, or make grey ones of the alpha channel",
            )
        if mask.lossy and self.only_zero_is_background:
            raise GraftError(
                f"it is stored with loss ({mask.format}), which leaves other values than 0 beside what is drawn",
                where=path,
                remedy='say which values count, as in foreground: ["128-255"], or export the masks as PNG',
            )
        return self.translation.apply(mask.values).mask == 1


def _translation(foreground: list[Value] | None) -> Translation:
    """The translation of mask values to 0, and to 1 where they belong to the class."""
    if foreground is None:
        return translation_of({"others": [0], "foreground": "rest"}, [])
    return translation_of({"others": "rest", "foreground": foreground}, [])


def _only_class(where: LayerPattern, classes: ClassLabels | None) -> str:
    """The class of all masks, where their paths name none; else "".

    Raises:
        GraftError: Neither the paths nor `classes` say it.
    """
    if where.has_class:
        return ""
    if not isinstance(classes, list) or len(classes) != 1:
        raise GraftError(
            f"{where.text!r} does not say the class of a mask",
            where="ingest.source.classes",
            rule="without {class} in masks, all of them are of the one class in classes",
            remedy="put {class} where the name of the class stands, or name one, as in classes: [nucleus]",
        )
    return classes[0]


def _images(found: Found, pattern: ImagePattern) -> list[str]:
    images = [id for id in found.paths if pattern.match(id)]
    if not images:
        raise GraftError(
            f"no file matches images: {pattern.text!r}; {found.in_words()}",
            where=found.root,
            rule="mask_layers expects images and masks below the root at the places the patterns say",
            remedy="compare ingest.root, images and masks with what was found",
        )
    return images


def _drawings(found: Found, layers: Layers, where: LayerPattern, names: Sequence[str], only: str) -> Drawings:
    """The masks of each image in drawing order: that of `names`, names in no list before them by the alphabet."""
    rank = {name: number for number, name in enumerate(names)}
    drawings = Drawings(lacking="mask")
    for id, files in layers.of_image.items():
        named = sorted((rank.get(layer.label or only, -1), layer.label or only, layer.path) for layer in files)
        if not named:
            continue
        paths = [found.paths[path] for _, _, path in named]
        content = json.dumps(paths).encode()
        drawings.of_image[id] = Drawing(
            posixpath.commonpath(paths), None, tuple(label for _, label, _ in named), content=content
        )
    is_mask = where.of_any_image()
    aside = found.paths.keys() - layers.files - layers.of_image.keys() - layers.shared.keys()
    lost = (id for id in aside if (is_picture(id) or is_array(id)) and is_mask.fullmatch(id))
    drawings.problems += found.refusals(layers.files) + [f"{id}: mask without image" for id in lost]
    drawings.problems += [f"{file}: could be a mask of {' and of '.join(ids)}" for file, ids in layers.shared.items()]
    return drawings


def _masks_aside(everything: Found, found: Found, where: LayerPattern) -> set[str]:
    """The masks in folders named `unlabelled`, found as if their paths did not name these."""
    aside = {_without_unlabelled(id): id for id in everything.paths if id not in found.paths}
    files = find_layers(aside, filter(where.images.match, aside), where).files
    return {aside[file] for file in files}


def _without_unlabelled(id: str) -> str:
    *folders, name = id.split("/")
    return "/".join([*(folder for folder in folders if split_named(folder) != UNLABELLED), name])


def _but_other_pictures(everything: Found, found: Found, kept: Collection[str], where: LayerPattern) -> dict[str, str]:
    """The files without the pictures that are neither images to be taken nor images in folders named `unlabelled`."""
    masks = _masks_aside(everything, found, where)
    return {
        id: path
        for id, path in everything.paths.items()
        if id in kept or not is_picture(id) or (id not in found.paths and id not in masks)
    }
