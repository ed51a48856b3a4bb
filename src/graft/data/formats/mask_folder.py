"""Images and masks found by patterns; what a mask value means is said in `classes`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from graft.data.formats.array_masks import ArrayMaskReader
from graft.data.formats.class_values import Classes, Value, class_map_of, translation_of
from graft.data.formats.files import Found, find_files
from graft.data.formats.given_splits import GivenSplits, Splits, find_splits
from graft.data.formats.listing import Entry, Listing, check_task
from graft.data.formats.mask_pairs import Pairs, pair_by_patterns
from graft.data.formats.missing_masks import BackgroundReader, MissingMask, check_missing, missing_in_words
from graft.data.formats.patterns import ImagePattern, MaskPattern
from graft.data.formats.splits import Groups, TestFraction, ValFraction, check_fractions, check_not_empty
from graft.data.formats.unlabelled_images import (
    is_in_unlabelled_folder,
    is_picture,
    outside_unlabelled_folders,
    unlabelled_entry,
)


def mask_folder(
    task: str,
    seed: int,
    root: Path,
    *,
    images: str,
    masks: str,
    classes: Classes,
    void: list[Value] = [],  # noqa: B006  options are read, never changed
    missing_mask: MissingMask = "refuse",
    mask_key: str | None = None,
    val_fraction: ValFraction = 0.15,
    test_fraction: TestFraction = 0.2,
    group_pattern: str | None = None,
    splits: Splits | None = None,
) -> Listing:
    """Pairs of an image and a mask anywhere below the root, found by patterns.

    For your own segmentation data: say where the files lie and which values make which class. Splits are those of
    your folders (train/, Testing/, val_set/) or lists (train.txt, ImageSets/…/val.txt); what they leave open is a hash
    of (split seed, group), so adding images moves no other: without them about 65 in 100 train, 15 validate and 20
    test. Name a group wherever images resemble each other (frames of a clip, slices of a patient), or scores come out
    too high. Images in a folder named `unlabelled`, at the root or where `images` matches, need no mask. Masks are
    pictures, or arrays of whole numbers: `.npy`, `.npz`, and `.mat` up to version 7.

    Args:
        images: Glob below the root, as `tiles/**/*.jpg` (.JPG, too) or `*.{jpg,jpeg,png}`; files that are the mask of
            another are left out.
        masks: Path of the mask of an image: `{dir}`, `{subdir}` (what `**` stood for), `{stem}`, `{name}`, and `{1}`,
            `{2}`, … (what each `*` of `images` stood for), as `{1}_mask.png` beside `*_sat.jpg`.
        classes: Class to its mask values: grey values (palette indices), ranges "1-254", RGB colours, or `rest`.
        void: Values that are ignored, in the same notation; they become 255. Here they may be negative, as -9999.
        missing_mask: An image without its mask is refused; or is `background`, all of the class that has the value 0;
            or is `unlabelled`.
        mask_key: Array that is the mask, where `.npz` or `.mat` hold several, as `labels`, or a field of a struct, as
            `GTcls.Segmentation`.
        val_fraction: Share of the groups that go to val, where no folder or list says it.
        test_fraction: Share of the groups that go to test, where neither val nor test is given; 0 makes no test split.
        group_pattern: Regular expression over the id; images in which it finds the same stay in one split.
        splits: Split to its folder or list, or several, as `{train: Training, val: [lists/a.txt, lists/b.txt]}`; null
            finds them by name, `{}` uses none.
    """
    check_task(task, "segmentation", "mask_folder")
    check_fractions(val_fraction, test_fraction)
    translation, groups = translation_of(classes, void), Groups(group_pattern)
    check_missing(missing_mask, translation)
    everything = find_files(root)
    found = everything if splits == {} else outside_unlabelled_folders(everything)
    pairs = pair_by_patterns(found, images, masks)
    bare = _bare_images(everything, found, images, masks)
    labelled, without, problems = _judge_missing(found, pairs, missing_mask)
    given = find_splits(found, labelled, splits)
    entries = _entries(found, labelled, given, groups, (seed, val_fraction, test_fraction))
    problems += everything.refusals(bare) + groups.problems
    if not problems:
        check_not_empty(entries, given.needed(test_fraction))
    bare += without if missing_mask == "unlabelled" else []
    entries += [unlabelled_entry(everything, id) for id in bare if id not in everything.refused]
    class_map = class_map_of(classes, translation, source="mask_folder", official_splits=given.are_official)
    notes = [*pairs.notes, *missing_in_words(len(without), missing_mask), *given.notes]
    expected = pairs.without_mask if missing_mask == "refuse" else {}
    read = ArrayMaskReader(BackgroundReader(str(root)), mask_key)
    return Listing(class_map, entries, read, translation, problems, notes, without_target=expected)


def _judge_missing(
    found: Found, pairs: Pairs, missing_mask: MissingMask
) -> tuple[dict[str, str | None], list[str], list[str]]:
    """The labelled images and their masks, the images without mask that are taken all the same, and the problems."""
    if missing_mask == "refuse":
        return {**pairs.mask_of}, [], list(pairs.problems)
    without = sorted(id for id in pairs.without_mask if id not in found.refused)
    forgiven = set(pairs.without_mask.values())
    problems = [line for line in pairs.problems if line not in forgiven]
    problems += found.refusals(pairs.without_mask)
    blank = dict.fromkeys(without) if missing_mask == "background" else {}
    return {**pairs.mask_of, **blank}, without, sorted(problems)


def _entries(
    found: Found,
    labelled: Mapping[str, str | None],
    given: GivenSplits,
    groups: Groups,
    by_hash: tuple[int, float, float],
) -> list[Entry]:
    """The entries of labelled images, by split; `by_hash` is the split seed and the fractions of val and test."""
    entries = []
    for image, mask in sorted(labelled.items()):
        group = groups.of(image)
        if (split := given.assign(image, group, *by_hash)) is not None:
            place = None if mask is None else found.paths[mask]
            entries.append(Entry(image, split, "unspecified", group, found.paths[image], place))
    return entries


def _bare_images(everything: Found, paired: Found, images: str, masks: str) -> list[str]:
    """The images in folders named `unlabelled`, masks that lie in such folders left out."""
    pattern = ImagePattern(images)
    aside = sorted(id for id in everything.paths if id not in paired.paths and is_picture(id))
    wanted = [id for id in aside if pattern.match(id) or is_in_unlabelled_folder(f"{id.split('/')[0]}/")]
    expected = MaskPattern(masks, pattern)
    taken = {everything.place_of(expected.mask_of(id)) for id in wanted}
    return [id for id in wanted if id not in taken]
