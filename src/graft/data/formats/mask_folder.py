"""Images and masks found by patterns; what a mask value means is said in `classes`."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from pathlib import Path

from graft.data.formats.class_values import Classes, Value, class_map_of, translation_of
from graft.data.formats.files import FileReader, Found, find_files
from graft.data.formats.listing import Entry, Listing, check_task
from graft.data.formats.patterns import ImagePattern, MaskPattern
from graft.data.formats.splits import Groups, TestFraction, ValFraction, check_fractions, check_not_empty, hashed_split
from graft.foundation.errors import GraftError


def mask_folder(
    task: str,
    seed: int,
    root: Path,
    *,
    images: str,
    masks: str,
    classes: Classes,
    void: list[Value] = [],  # noqa: B006  options are read, never changed
    val_fraction: ValFraction = 0.15,
    test_fraction: TestFraction = 0.2,
    group_pattern: str | None = None,
) -> Listing:
    """Pairs of an image and a mask anywhere below the root, found by patterns, split by hash.

    For your own segmentation data: say where the files lie and which values make which class. Splits are a hash of
    (split seed, group), so adding images moves no other; by default about 65 in 100 train, 15 validate and 20 test.
    Name a group wherever images resemble each other (frames of a clip, slices of a patient), or scores come out too
    high.

    Args:
        images: Glob below the root, as `tiles/**/*.jpg`; files that are the mask of another are left out.
        masks: Path of the mask of an image: `{dir}`, `{subdir}` (what `**` stood for), `{stem}`, `{name}`.
        classes: Class to its mask values: grey values (palette indices), ranges "1-254", RGB colours, or `rest`.
        void: Values that are ignored, in the same notation; they become 255.
        val_fraction: Share of the groups that go to val.
        test_fraction: Share of the groups that go to test; 0 makes no test split.
        group_pattern: Regular expression over the id; images in which it finds the same stay in one split.
    """
    check_task(task, "segmentation", "mask_folder")
    check_fractions(val_fraction, test_fraction)
    translation, groups = translation_of(classes, void), Groups(group_pattern)
    found = find_files(root)
    pairs, problems = _pairs(found, images, masks)
    entries = []
    for image, mask in sorted(pairs.items()):
        group = groups.of(image)
        split = hashed_split(seed, group, val_fraction, test_fraction)
        entries.append(Entry(image, split, "unspecified", group, found.paths[image], found.paths[mask]))
    problems += groups.problems
    if not problems:
        check_not_empty(entries, ["train", "val"] + ["test"] * (test_fraction > 0))
    class_map = class_map_of(classes, translation, source="mask_folder", official_splits=False)
    return Listing(class_map, entries, FileReader(str(root)), translation, problems)


def _pairs(found: Found, images: str, masks: str) -> tuple[dict[str, str], list[str]]:
    """Image id to mask id, and all that is unpaired or must not be read."""
    pattern = ImagePattern(images)
    of_masks = MaskPattern(masks, pattern)
    expected = {id: of_masks.mask_of(id) for id in found.paths if pattern.match(id)}
    if any(id == mask for id, mask in expected.items()):
        raise GraftError(
            f"{masks!r} gives the image itself as its mask",
            where="ingest.source.masks",
            remedy="narrow images, as in images/*.png",
        )
    used = set(expected.values())
    expected = {id: mask for id, mask in expected.items() if id not in used}
    if not expected:
        raise GraftError(
            f"no file matches images: {images!r}; {found.in_words()}",
            where=found.root,
            rule="mask_folder expects images and masks below the root at the places the patterns say",
            remedy="compare ingest.root, images and masks with what was found",
        )
    pairs = {id: mask for id, mask in expected.items() if mask in found.paths}
    orphans = _orphans(found, expected, pairs, of_masks)
    problems = found.problems + found.refusals([*pairs, *pairs.values()])
    problems += [
        f"{id}: image without mask (expected {mask})"
        for id, mask in expected.items()
        if id not in pairs and id not in orphans
    ]
    problems += [f"{id}: mask without image" for id in orphans]
    good = {id: mask for id, mask in pairs.items() if id not in found.refused and mask not in found.refused}
    return good, sorted(problems)


def _orphans(found: Found, expected: Mapping[str, str], pairs: Mapping[str, str], masks: MaskPattern) -> set[str]:
    """Files named as masks, in folders where masks are expected, that are nobody's mask."""
    folders = {posixpath.dirname(mask) for mask in expected.values()}
    claimed = set(pairs.values()) | set(pairs)
    return {
        id for id in found.paths if id not in claimed and posixpath.dirname(id) in folders and masks.could_be_mask(id)
    }
