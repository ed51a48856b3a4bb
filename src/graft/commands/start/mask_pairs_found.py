"""Images and masks in one folder or in two, and the patterns of `mask_folder` that pair them."""

from __future__ import annotations

import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from graft.data.formats.array_masks import is_array
from graft.data.formats.files import Found
from graft.data.formats.mask_pairs import pair_by_patterns
from graft.data.formats.split_names import split_named
from graft.data.formats.unlabelled_images import is_picture
from graft.foundation.errors import GraftError

OF_MASKS = re.compile(
    r"(masks?|labels?|annot(ation)?s?|gts?|ground_?truths?|seg(mentation)?s?(class)?|targets?|maps?|manual\d?|labelids?)"
)
OF_IMAGES = re.compile(r"(images?|imgs?|jpegimages|photos?|pictures?|rgb|inputs?|frames?|original|sat|data|x)")
FOR_PEOPLE = re.compile(r"(visuali[sz]ations?|previews?|overlays?|instances?|depth|disparity|calib(ration)?)")
BETWEEN = re.compile(r"[-_. ]+")
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")  # JPEGImages is JPEG and Images
CAPTURE = "{capture}"  # what the last * of the images stands for, whose number follows from the folders
NUM_SEEN = 500  # pairs whose names are compared
LEAST_SHARE = 0.3  # of the pictures that must be in a pair; previews of masks may lie beside them


@dataclass(frozen=True)
class FoundPairs:
    """Patterns and the pairs they find.

    Attributes:
        images: Value of the option `images`.
        masks: Value of the option `masks`.
        mask_of: Id of each image to that of its mask.
    """

    images: str
    masks: str
    mask_of: dict[str, str]

    @property
    def splits(self) -> dict[str, str]:
        """Value of the option `splits`, where names of folders hold a split beside words that `split_named` lacks."""
        place = next((number for number, part in enumerate(self.images.split("/")[:-1]) if re.search(r"\w", part)), 0)
        folders = {"/".join(id.split("/")[: place + 1]) for id in self.mask_of if id.count("/") > place}
        split_of = {folder: _split_within(folder.split("/")[-1]) for folder in sorted(folders)}
        found = {split: folder for folder, split in split_of.items() if split is not None}
        unknown = any(split_named(folder.split("/")[-1]) is None for folder in folders)
        return found if unknown and "train" in found and len(found) == len(folders) > 1 else {}


def find_pairs(found: Found) -> FoundPairs | None:
    """The patterns that pair most pictures; None where they pair only a few of them."""
    pictures = sorted(id for id in found.paths if is_picture(id) or is_array(id))
    best: FoundPairs | None = None
    for images, masks in dict.fromkeys(_candidates(pictures)):
        try:
            pairs = pair_by_patterns(found, images, masks).mask_of
        except GraftError:
            continue
        if best is None or len(pairs) > len(best.mask_of):
            best = FoundPairs(images, masks, pairs)
    return best if best is not None and 2 * len(best.mask_of) >= LEAST_SHARE * len(pictures) else None


def look_alike(pictures: Iterable[str]) -> list[tuple[str, str]]:
    """Images and masks whose paths are the same but for the words for either; an array is a mask."""
    alike: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for id in pictures:
        plain, is_mask = _without_words(id)
        alike[plain][is_mask].append(id)
    return [(images[0], masks[0]) for images, masks in alike.values() if len(images) == len(masks) == 1]


def is_part_of_layout(folder: str) -> bool:
    """Whether a folder is named after what lies in it, as JPEGImages or image_2, and not after a class."""
    words = [word.lower() for word in WORD.findall(folder)]
    return any(kind.fullmatch(word) for word in words for kind in (OF_IMAGES, OF_MASKS, FOR_PEOPLE))


def _candidates(pictures: list[str]) -> Iterator[tuple[str, str]]:
    """The patterns that most of such pairs suggest, and where images have several endings, one for all of these."""
    pairs = look_alike(pictures)
    seen = pairs[:: max(1, len(pairs) // NUM_SEEN)]
    suggested = Counter(pattern for pair in seen if (pattern := _patterns(*pair)) is not None)
    endings = sorted({posixpath.splitext(image)[1].lower().lstrip(".") for image, _ in pairs})
    for (images, masks), _ in suggested.most_common(3):
        yield images, masks
        if len(endings) > 1:
            yield f"{posixpath.splitext(images)[0]}.{{{','.join(endings)}}}", masks


def _without_words(id: str) -> tuple[str, bool]:
    """The path without ending and words for images and masks, and whether it has a word for masks."""
    *folders, name = posixpath.splitext(id)[0].split("/")
    plain, is_mask = [], False
    for part in folders:
        bare, of_masks = _stripped(part)
        plain += [bare] if bare else []
        is_mask = is_mask or of_masks
    bare, of_masks = _stripped(name)
    return "/".join([*plain, bare]), is_mask or of_masks or is_array(id)


def _stripped(part: str) -> tuple[str, bool]:
    """A folder or a name without the words for images and masks, and whether one was for masks."""
    words = BETWEEN.split(part.lower())
    glued = re.fullmatch(r"(train|val|valid|test)(annot|masks?|labels?|gt)", part.lower())
    if glued:
        return glued[1], True
    of_masks = [word for word in words if OF_MASKS.fullmatch(word)]
    kept = [word for word in words if not OF_MASKS.fullmatch(word) and not OF_IMAGES.fullmatch(word)]
    return "_".join(kept), bool(of_masks)


def _patterns(image: str, mask: str) -> tuple[str, str] | None:
    """The patterns that lead from one image to its mask; None where `mask_folder` has none."""
    (image_folder, image_name), (mask_folder, mask_name) = posixpath.split(image), posixpath.split(mask)
    (stem, ending), (mask_stem, mask_ending) = posixpath.splitext(image_name), posixpath.splitext(mask_name)
    glob, name = f"*{ending}", mask_stem.replace(stem, "{stem}", 1) + mask_ending
    if stem not in mask_stem:
        shared = _shared(stem, mask_stem)
        if shared is None:  # image.png and mask.png, a folder for each pair
            return (f"**/{image_name}", f"{{dir}}/{mask_name}") if image_folder == mask_folder else None
        glob = stem.replace(shared, "*", 1) + ending
        name = mask_stem.replace(shared, CAPTURE, 1) + mask_ending
    ours, theirs = image_folder.split("/") if image_folder else [], mask_folder.split("/") if mask_folder else []
    found = folder_patterns(ours, theirs)
    if found is None:
        return None
    images, masks = (posixpath.join(*parts, last) for parts, last in zip(found, (glob, name), strict=True))
    return images, masks.replace(CAPTURE, f"{{{images.replace('**', '').count('*')}}}")


def _shared(stem: str, mask_stem: str) -> str | None:
    """The longest part that two names share, as 12 of 12_sat and mask_12; None where it holds no number."""
    match = SequenceMatcher(None, stem, mask_stem, autojunk=False).find_longest_match()
    shared = stem[match.a : match.a + match.size].strip("-_. ")
    return shared if any(map(str.isdigit, shared)) else None


def folder_patterns(ours: list[str], theirs: list[str]) -> tuple[list[str], list[str]] | None:
    """The patterns of the folders of images and of masks, by those of one pair; None where none says it."""
    if ours == theirs:
        return ["**"], ["{dir}"]
    if len(theirs) == len(ours) + 1 and theirs[:-1] == ours:
        return ["**"], ["{dir}", theirs[-1]]
    differing = [number for number, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b]
    if len(ours) != len(theirs) or len(differing) != 1:
        return None
    (place,) = differing
    before, after = ours[:place], ours[place + 1 :]
    if theirs[place].startswith(ours[place]) and not after:
        return ["**"], ["{subdir}" + theirs[place].removeprefix(ours[place])]
    split = _shared_split(ours[place], theirs[place])
    if split is not None and not any(map(split_named, before)):  # images_train and masks_train: what * stands for
        starred, named = ours[place].replace(split, "*", 1), theirs[place].replace(split, "{1}", 1)
        return [*before, starred, *after, "**"], [*before, named, *after, "{subdir}"]
    if not after and before:
        return ["**", ours[place]], ["{subdir}", theirs[place]]
    stars, numbers = before, before
    if any(split_named(folder) for folder in before):  # train/images/city/a.jpg: two gaps, of which {subdir} fills one
        stars, numbers = ["*"] * len(before), [f"{{{number}}}" for number in range(1, len(before) + 1)]
    return [*stars, ours[place], "**"], [*numbers, theirs[place], "{subdir}"]


def _split_within(folder: str) -> str | None:
    """The split that a word of the name of a folder says."""
    return next((split for word in BETWEEN.split(folder) if (split := split_named(word)) is not None), None)


def _shared_split(ours: str, theirs: str) -> str | None:
    """The word for a split that the names of both folders hold beside others, as train of train_images."""
    words = set(BETWEEN.split(theirs))
    return next((word for word in BETWEEN.split(ours) if word != ours and word in words and split_named(word)), None)
