"""Pairs of an image and its mask by patterns, and whatever is not paired, with the name that comes closest."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from graft.data.formats.files import EXTENSIONS_READ, Found
from graft.data.formats.patterns import ImagePattern, MaskPattern
from graft.foundation.errors import GraftError

NUM_SHOWN = 5


@dataclass(frozen=True)
class Pairs:
    """Images and their masks, as patterns find them.

    Attributes:
        mask_of: Id of each image to that of its mask.
        problems: A line for whatever is unpaired or must not be read.
        notes: A line for whatever was left aside.
        without_mask: Id of each image that has none, to its line of `problems`.
    """

    mask_of: dict[str, str]
    problems: list[str]
    notes: list[str]
    without_mask: dict[str, str]


def pair_by_patterns(found: Found, images: str, masks: str) -> Pairs:
    """Pairs of an image and its mask.

    Raises:
        GraftError: No file is an image, or each is its own mask.
    """
    pattern = ImagePattern(images)
    of_masks = MaskPattern(masks, pattern)
    expected = _expected(found, pattern, of_masks)
    pairs = {id: mask for id, mask in expected.items() if mask in found.paths}
    orphans = _orphans(found, expected, pairs, of_masks)
    aside = _left_aside(found, expected, pattern, of_masks)
    problems = found.problems + found.refusals([*pairs, *pairs.values()]) + shared_files(pairs, "mask", "masks")
    bare = {
        id: f"{id}: image without mask (expected {mask}{found.near(mask)})"
        for id, mask in expected.items()
        if id not in pairs and id not in orphans
    }
    problems += bare.values()
    image_of = {mask: image for image, mask in aside.items()}
    problems += [
        f"{id}: mask without image" + (f" ({image_of[id]} does not match {images!r})" if id in image_of else "")
        for id in orphans
    ]
    good = {id: mask for id, mask in pairs.items() if id not in found.refused and mask not in found.refused}
    notes = _in_words([id for id, mask in aside.items() if mask not in orphans], images)
    return Pairs(good, sorted(problems), notes, bare)


def shared_files(files: Mapping[str, str], what: str, option: str) -> list[str]:
    """A problem that lists the files which several images share; none where each has its own.

    Args:
        files: Image to its file.
        what: Word for such a file.
        option: Option that holds the pattern of these files.
    """
    owners: dict[str, list[str]] = defaultdict(list)
    for image, file in sorted(files.items()):
        owners[file].append(image)
    lines = [f"{file}: {_first(sharing, ' and ')}" for file, sharing in sorted(owners.items()) if len(sharing) > 1]
    if not lines:
        return []
    return [
        f"two or more images share one {what}; tell them apart in {option}, by {{subdir}} (what ** stands for in "
        f"images), {{dir}}, {{stem}} or {{name}}; where they are meant to share it, list them in a table (csv):\n"
        + "\n".join(lines)
    ]


def _expected(found: Found, pattern: ImagePattern, masks: MaskPattern) -> dict[str, str]:
    """Image to the id of its mask, whether that exists or not."""
    expected = {id: found.place_of(masks.mask_of(id)) for id in found.paths if pattern.match(id)}
    if any(id == mask for id, mask in expected.items()):
        raise GraftError(
            f"{masks.text!r} gives the image itself as its mask",
            where="ingest.source.masks",
            remedy="narrow images, as in images/*.png",
        )
    used = set(expected.values())
    expected = {id: mask for id, mask in expected.items() if id not in used}
    if not expected:
        raise GraftError(
            f"no file matches images: {pattern.text!r}; {found.in_words()}",
            where=found.root,
            rule="mask_folder expects images and masks below the root at the places the patterns say",
            remedy="compare ingest.root, images and masks with what was found",
        )
    return expected


def _orphans(found: Found, expected: Mapping[str, str], pairs: Mapping[str, str], masks: MaskPattern) -> set[str]:
    """Files named as masks, in folders where masks are expected, that are nobody's mask."""
    folders = {posixpath.dirname(mask) for mask in expected.values()}
    claimed = set(pairs.values()) | set(pairs)
    return {
        id for id in found.paths if id not in claimed and posixpath.dirname(id) in folders and masks.could_be_mask(id)
    }


def _left_aside(found: Found, expected: Mapping[str, str], pattern: ImagePattern, masks: MaskPattern) -> dict[str, str]:
    """Pictures that match no pattern though the mask is there that they would have: id to that mask."""
    claimed = {*expected, *expected.values()}
    aside = {}
    for id in found.paths:
        if id in claimed or posixpath.splitext(id)[1].lower() not in EXTENSIONS_READ:
            continue
        mask = found.place_of(masks.mask_of(id))
        is_near = mask not in claimed or pattern.match_but_for_ending(id) is not None
        if mask != id and mask in found.paths and is_near:
            aside[id] = mask
    return aside


def _in_words(aside: list[str], images: str) -> list[str]:
    if not aside:
        return []
    return [f"{len(aside)} pictures that have a mask and do not match images: {images!r}: {_first(sorted(aside))}"]


def _first(names: Iterable[str], between: str = ", ") -> str:
    known = [*names]
    more = [f"{len(known) - NUM_SHOWN} more"] if len(known) > NUM_SHOWN else []
    return between.join([*known[:NUM_SHOWN], *more])
