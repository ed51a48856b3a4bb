"""Images and masks found by patterns; what a mask value means is said in `classes`."""

from __future__ import annotations

from pathlib import Path

from graft.data.formats.class_values import Classes, Value, class_map_of, translation_of
from graft.data.formats.files import FileReader, Found, find_files
from graft.data.formats.given_splits import Splits, find_splits
from graft.data.formats.layout import entry_of
from graft.data.formats.listing import Listing, check_task
from graft.data.formats.mask_pairs import pair_by_patterns
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
    too high. Images in a folder named `unlabelled`, at the root or where `images` matches, need no mask.

    Args:
        images: Glob below the root, as `tiles/**/*.jpg` (.JPG, too); files that are the mask of another are left out.
        masks: Path of the mask of an image: `{dir}`, `{subdir}` (what `**` stood for), `{stem}`, `{name}`.
        classes: Class to its mask values: grey values (palette indices), ranges "1-254", RGB colours, or `rest`.
        void: Values that are ignored, in the same notation; they become 255. Here they may be negative, as -9999.
        val_fraction: Share of the groups that go to val, where no folder or list says it.
        test_fraction: Share of the groups that go to test, where neither val nor test is given; 0 makes no test split.
        group_pattern: Regular expression over the id; images in which it finds the same stay in one split.
        splits: Split to its folder or list, or several, as `{train: Training, val: [lists/a.txt, lists/b.txt]}`; null
            finds them by name, `{}` uses none.
    """
    check_task(task, "segmentation", "mask_folder")
    check_fractions(val_fraction, test_fraction)
    translation, groups = translation_of(classes, void), Groups(group_pattern)
    everything = find_files(root)
    found = everything if splits == {} else outside_unlabelled_folders(everything)
    pairs = pair_by_patterns(found, images, masks)
    bare = _bare_images(everything, found, images, masks)
    given, entries = find_splits(found, pairs.mask_of, splits), []
    for image, mask in sorted(pairs.mask_of.items()):
        group = groups.of(image)
        if (split := given.assign(image, group, seed, val_fraction, test_fraction)) is not None:
            entries.append(entry_of(found, image, mask, split=split, group=group))
    problems = pairs.problems + everything.refusals(bare) + groups.problems
    if not problems:
        check_not_empty(entries, given.needed(test_fraction))
    entries += [unlabelled_entry(everything, id) for id in bare if id not in everything.refused]
    class_map = class_map_of(classes, translation, source="mask_folder", official_splits=given.are_official)
    notes = [*pairs.notes, *given.notes]
    read = FileReader(str(root))
    return Listing(class_map, entries, read, translation, problems, notes, without_target=pairs.without_mask)


def _bare_images(everything: Found, paired: Found, images: str, masks: str) -> list[str]:
    """The images in folders named `unlabelled`, masks that lie in such folders left out."""
    pattern = ImagePattern(images)
    aside = sorted(id for id in everything.paths if id not in paired.paths and is_picture(id))
    wanted = [id for id in aside if pattern.match(id) or is_in_unlabelled_folder(f"{id.split('/')[0]}/")]
    expected = MaskPattern(masks, pattern)
    taken = {everything.place_of(expected.mask_of(id)) for id in wanted}
    return [id for id in wanted if id not in taken]
