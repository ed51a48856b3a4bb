"""Images with several masks each, and the patterns of `mask_layers` that find them."""

from __future__ import annotations

import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from graft.commands.start.mask_pairs_found import OF_MASKS, folder_patterns
from graft.data.formats.files import Found
from graft.data.formats.layer_files import LayerPattern, Layers, find_layers
from graft.data.formats.patterns import ImagePattern
from graft.data.formats.unlabelled_images import is_picture
from graft.foundation.errors import GraftError

LEAST_SHARE = 0.9  # of the pictures that are images with masks, or masks
NUM_SEEN, NUM_TRIED = 500, 4
MOST_CLASSES = 32
IMAGE_FOLDERS = ("images", "image", "imgs", "img")
BETWEEN = re.compile(r"[-_. ]+")
NUMBER = re.compile(r"(?<=[^\W\d_])[-_ .]\d+$")  # crack_2 is the second crack
Patterns = tuple[str, str]


@dataclass(frozen=True)
class FoundLayers:
    """Patterns and the masks that they find.

    Attributes:
        images: Value of the option `images`.
        masks: Value of the option `masks`.
        layers: Masks of each image.
    """

    images: str
    masks: str
    layers: Layers

    @property
    def classes(self) -> list[str]:
        """The names in the place of `{class}`."""
        return sorted({layer.label for files in self.layers.of_image.values() for layer in files} - {""})


def find_mask_layers(found: Found) -> FoundLayers | None:
    """The patterns that give nearly all pictures their place, as an image with masks or as a mask; None without any."""
    pictures = sorted(filter(is_picture, found.paths))
    suggested = Counter(_suggestions(pictures))
    for (images, masks), _ in suggested.most_common(NUM_TRIED):
        pattern = ImagePattern(images)
        try:
            layers = find_layers(pictures, filter(pattern.match, pictures), LayerPattern(masks, pattern))
        except GraftError:
            continue
        tried = FoundLayers(images, masks, layers)
        num_images = sum(map(bool, layers.of_image.values()))
        num_placed = num_images + len(layers.files)
        tried = _numbered(tried, pictures)
        is_by_class = "{class}" not in tried.masks or 0 < len(tried.classes) <= MOST_CLASSES
        if num_placed >= LEAST_SHARE * len(pictures) and len(layers.files) > num_images and is_by_class:
            return tried
    return None


def _numbered(tried: FoundLayers, pictures: Sequence[str]) -> FoundLayers:
    """The same masks with `{class}_*` for their names, where all of these end in the number of an instance.

    Where only one name would be left, as of class_1 and class_2, the numbers may be the classes.
    """
    ends = [match[0] if (match := NUMBER.search(name)) else "" for name in tried.classes]
    between = {end.rstrip("0123456789") for end in ends}
    names = {name.removesuffix(end) for name, end in zip(tried.classes, ends, strict=True)}
    if len(between) != 1 or "" in ends or len(names) < 2:
        return tried
    masks = tried.masks.replace("{class}", f"{{class}}{between.pop()}*")
    pattern = ImagePattern(tried.images)
    layers = find_layers(pictures, filter(pattern.match, pictures), LayerPattern(masks, pattern))
    return FoundLayers(tried.images, masks, layers)


def _suggestions(pictures: Sequence[str]) -> Iterator[Patterns]:
    """Yields the patterns that a sample of the pictures suggests, where each is a mask."""
    by_stem: dict[str, list[str]] = defaultdict(list)
    by_folder: dict[str, list[str]] = defaultdict(list)
    for id in pictures:
        by_stem[posixpath.splitext(posixpath.basename(id))[0]].append(id)
        by_folder[posixpath.dirname(id)].append(id)
    step = max(1, len(pictures) // NUM_SEEN)
    for number in range(min(NUM_SEEN, len(pictures))):
        id = pictures[number * (step + 1) % len(pictures)]  # images and masks take turns, so no step of their number
        yield from _beside_one_image(id, by_folder)
        yield from _in_a_folder_named_after_the_image(id, by_stem)
        yield from _in_a_folder_named_after_the_class(id, by_stem)
        yield from _named_after_image_and_class(id, by_stem)


def _beside_one_image(mask: str, by_folder: Mapping[str, Sequence[str]]) -> Iterator[Patterns]:
    """`ID/masks/*.png` where `ID/images` holds one picture."""
    above, last = posixpath.split(posixpath.dirname(mask))
    if not OF_MASKS.fullmatch(last.lower()):
        return
    for folder in IMAGE_FOLDERS:
        files = by_folder.get(posixpath.join(above, folder), ())
        if len(files) == 1:
            yield f"**/{folder}/*{_ending(files[0])}", f"{{subdir}}/{last}/*{_ending(mask)}"


def _in_a_folder_named_after_the_image(mask: str, by_stem: Mapping[str, Sequence[str]]) -> Iterator[Patterns]:
    """`masks/NAME/crack.png`, or `masks/NAME/0.png`."""
    *above, last = posixpath.dirname(mask).split("/")
    for image in by_stem.get(last, ()):
        for name in ("{class}", "*"):
            yield from _joined(image, above, ["{stem}", name + _ending(mask)])


def _in_a_folder_named_after_the_class(mask: str, by_stem: Mapping[str, Sequence[str]]) -> Iterator[Patterns]:
    """`masks/crack/NAME.png`."""
    *above, _ = posixpath.dirname(mask).split("/")
    if any(OF_MASKS.fullmatch(folder.lower()) for folder in above):
        for image in by_stem[posixpath.splitext(posixpath.basename(mask))[0]]:
            for images, masks in _joined(image, above, ["{class}", "{stem}" + _ending(mask)]):
                yield images, masks.replace("{subdir}/{class}", "{class}/{subdir}")


def _named_after_image_and_class(mask: str, by_stem: Mapping[str, Sequence[str]]) -> Iterator[Patterns]:
    """`NAME_crack.png`, or `crack_NAME.png`."""
    stem, above = posixpath.splitext(posixpath.basename(mask))[0], posixpath.dirname(mask)
    for between in BETWEEN.finditer(stem):
        for part, name in (
            (stem[: between.start()], "{stem}" + between[0] + "{class}"),
            (stem[between.end() :], "{class}" + between[0] + "{stem}"),
        ):
            for image in by_stem.get(part, ()):
                yield from _joined(image, above.split("/") if above else [], [name + _ending(mask)])


def _joined(image: str, folders: Sequence[str], names: Sequence[str]) -> Iterator[Patterns]:
    """The patterns that lead from the folder of an image to those of a mask, and then to names."""
    above = posixpath.dirname(image)
    if (found := folder_patterns(above.split("/") if above else [], list(folders))) is not None:
        yield posixpath.join(*found[0], f"*{_ending(image)}"), posixpath.join(*found[1], *names)


def _ending(id: str) -> str:
    return posixpath.splitext(id)[1]
