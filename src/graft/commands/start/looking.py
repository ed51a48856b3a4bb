"""A look at a folder that nobody described: the source that reads it, its classes and splits, and params for it."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from graft.commands.start.mask_values import evenly
from graft.commands.start.proposal import CLASSIFICATION, MULTILABEL, SEGMENTATION, Proposal
from graft.commands.start.sources import propose
from graft.commands.start.unread import unread
from graft.data.formats import FORMATS
from graft.data.formats.files import Found, find_files
from graft.data.formats.listing import Entry, Listing
from graft.foundation.choices import resolve
from graft.foundation.class_map import SPLITS, UNLABELLED
from graft.foundation.errors import GraftError
from graft.params.recipes import compose
from graft.params.yaml_tree import dump_tree, plain

NUM_SAMPLED, NUM_SHOWN = 24, 5
FEW = 20  # images to train on
EMPTY_SPLIT = "no image fell into"
SIDE_STEP_PX, SMALLEST_CROP_PX = 32, 64
Changes = dict[tuple[str, ...], Any]


@dataclass(frozen=True)
class Look:
    """The findings about a folder, as far as names, headers and a sample of files say.

    Attributes:
        folder: The folder.
        num_files: Number of files in it.
        proposals: Sources that fit, the most specific first; the first is taken.
        listing: The listing of that source.
        shares: Share of each class: of images for classification, of the pixels of a sample for segmentation.
        sizes: Height and width of the images of a sample.
        broken: Images of the sample that cannot be read, a line each.
        changes: Values in the place of the recipe's, by the keys that lead to them.
    """

    folder: Path
    num_files: int
    proposals: Sequence[Proposal]
    listing: Listing
    shares: Mapping[str, float]
    sizes: Sequence[tuple[int, int]]
    broken: Sequence[str]
    changes: Changes

    @property
    def problems(self) -> list[str]:
        """Lines about what ingest would refuse."""
        return [*self.broken, *self.listing.problems]

    def lines(self) -> Iterator[str]:
        """Yields what a person is told, a line each."""
        chosen, *others = self.proposals
        yield f"{self.folder}: {self.num_files:,} files; {chosen.reason}"
        yield from (f"  also possible: {_in_yaml(one.source)}, because {one.reason}" for one in others)
        counts = Counter(entry.split for entry in self.listing.entries)
        splits = ", ".join(f"{counts[split]:,} {split}" for split in SPLITS if counts[split])
        yield f"  images: {len(self.listing.entries):,}: {splits}"
        of = "of the images" if chosen.task != SEGMENTATION else f"of the pixels of {len(self.sizes)} images"
        yield f"  classes: {', '.join(f'{name} {share:.1%}' for name, share in self.shares.items())} {of}"
        heights, widths = zip(*self.sizes, strict=True)
        yield f"  size: {median(widths):.0f} x {median(heights):.0f} px in the middle, {len(self.sizes)} images seen"
        yield from (f"  doubt: {doubt}" for doubt in [*chosen.doubts, *self._doubts(counts)])
        yield from _some("looks wrong", self.problems)
        yield from _some("left aside", self.listing.notes)
        yield f"  recipe {chosen.recipe}, and in params.yaml:"
        yield from (f"    {'.'.join(place)}: {_in_yaml(value)}" for place, value in self.changes.items())

    def _doubts(self, counts: Counter[str]) -> Iterator[str]:
        missing = [name for name in self.listing.class_map.names if not self.shares.get(name)]
        if missing:
            yield f"no sign of {', '.join(missing[:NUM_SHOWN])} in the images seen"
        if counts["train"] < FEW:
            yield f"{counts['train']} images to train on are few; a few dozen will do"
        if (bare := self.listing.without_target) and len(bare) < counts.total():
            ending = Counter(posixpath.splitext(id)[1] for id in bare).most_common(1)[0][0]
            yield f"{len(bare)} images bear nothing; ingest.unlabelled: '**/*{ending}' takes them as unlabelled" + (
                ", missing_mask: background as all background" if "masks" in self.proposals[0].source else ""
            )
        yield from self.listing.warnings


def look(folder: Path) -> Look:
    """Looks at a folder: all names, the headers and values of a few files, and the listing of the source that fits.

    Raises:
        GraftError: No source fits, or the one that fits cannot list the folder.
    """
    found = find_files(folder)
    proposals = propose(found)
    if not proposals:
        raise _nothing_fits(found)
    first, *others = proposals
    seen = _look_with(first, found)
    if not others or any(seen.shares.values()):
        return replace(seen, proposals=[*seen.proposals, *others])
    doubt = f"{first.reason}, but none of its classes is in the masks seen"
    second = replace(others[0], doubts=(*others[0].doubts, doubt))
    seen = _look_with(second, found)
    return replace(seen, proposals=[*seen.proposals, first, *others[1:]])


def _look_with(chosen: Proposal, found: Found) -> Look:
    """The findings, where one source reads the folder."""
    recipe = plain(compose(chosen.recipe))
    chosen, listing = _list(chosen, recipe["ingest"]["split_seed"], found.root)
    shares, sizes, broken = _see(listing, chosen.task)
    if not sizes:
        problems = [*broken, *listing.problems] or ["no image was found"]
        raise GraftError.of_all(f"{found.root}: {chosen.reason}, but no image can be used", problems[:NUM_SHOWN])
    changes = _changes(found.root, chosen, listing, sizes, recipe)
    return Look(found.root, len(found.paths), [chosen], listing, shares, sizes, broken, changes)


def _list(chosen: Proposal, split_seed: int, folder: Path) -> tuple[Proposal, Listing]:
    """The listing of a source; where the hash leaves a split of few images empty, without test images."""
    try:
        return chosen, resolve(FORMATS, chosen.source, where="ingest.source")(chosen.task, split_seed, folder)
    except GraftError as error:
        if not error.what.startswith(EMPTY_SPLIT):
            raise GraftError(
                f"{chosen.reason}, but the source {chosen.source['name']} says: {error.what}",
                where=error.where or folder,
                rule=error.rule,
                remedy=error.remedy,
            ) from None
    fewer = replace(chosen, source=_without_test(chosen.source))
    return fewer, resolve(FORMATS, fewer.source, where="ingest.source")(fewer.task, split_seed, folder)


def _without_test(source: dict[str, Any]) -> dict[str, Any]:
    """The source with more images for val and none for test; of tiles, the source of the images."""
    if "source" in source:
        return {**source, "source": _without_test(source["source"])}
    return {**source, "val_fraction": 0.4, "test_fraction": 0}


def _see(listing: Listing, task: str) -> tuple[dict[str, float], list[tuple[int, int]], list[str]]:
    """Shares of the classes, sizes of the images of a sample, and a line for each that cannot be read."""
    names, counts, sizes, broken = listing.class_map.names, Counter[int](), [], []
    by_id = {entry.id: entry for entry in listing.entries if entry.split != UNLABELLED}
    for id in evenly(by_id, NUM_SAMPLED):
        try:
            size, met = _see_one(listing, by_id[id])
        except GraftError as error:
            broken.append(str(error.at(error.where if error.where == by_id[id].mask else id)))
            continue
        sizes.append(size)
        counts.update(met)
    if task == CLASSIFICATION:
        counts = Counter(entry.label for entry in listing.entries if entry.label is not None)
    total = max(1, counts.total())
    if task == MULTILABEL:
        sets = [entry.labels for entry in listing.entries if entry.labels is not None]
        counts, total = Counter(number for one in sets for number, bit in enumerate(one) if bit), max(1, len(sets))
    return {name: counts[number] / total for number, name in enumerate(names)}, sizes, broken


def _see_one(listing: Listing, entry: Entry) -> tuple[tuple[int, int], dict[int, int]]:
    """The size of an image, and the pixels of each class in its mask.

    Raises:
        GraftError: One of them cannot be read.
    """
    from graft.data.images.codec import upright_size
    from graft.data.mask_files import decode_mask_file

    image, mask = listing.read(entry)
    if mask is None or listing.translation is None:
        return upright_size(image), {}
    translation = listing.translation.of(entry)
    read = decode_mask_file(mask, where=entry.mask or entry.id, as_colours=translation.reads_colours)
    return upright_size(image), dict(enumerate(translation.apply(read.values).counts))


def _changes(
    folder: Path, chosen: Proposal, listing: Listing, sizes: Sequence[tuple[int, int]], recipe: Mapping[str, Any]
) -> Changes:
    changes: Changes = {("ingest", "root"): folder.as_posix(), ("ingest", "source"): chosen.source}
    side = int(median(min(size) for size in sizes))
    resize, crop = recipe["preprocess"]["resize"], recipe["augment"]["crop"]
    wanted = resize["size_px"] if isinstance(resize, dict) else side
    if side < wanted:
        changes["preprocess", "resize"] = "none"
    most = max(SMALLEST_CROP_PX, min(side, wanted) // SIDE_STEP_PX * SIDE_STEP_PX)
    if most < crop["height_px"]:
        changes["augment", "crop"] = {"height_px": most, "width_px": most}
    has_test = any(entry.split == "test" for entry in listing.entries)
    if not has_test and recipe["evaluate"]["split"] == "test":
        changes["evaluate", "split"] = "val"
    return changes


def _nothing_fits(found: Found) -> GraftError:
    return GraftError(
        "; ".join(["no source fits", *unread(found), found.in_words()]),
        where=found.root,
        rule="looked for are published data sets, files of labelme, CVAT, COCO and YOLO, tables, pairs of image and "
        "mask, several masks an image, and a folder for each class",
        remedy="graft recipe use photographs, and say in ingest.source where images and masks lie (docs/toolbox.md)",
    )


def _some(what: str, lines: Sequence[str]) -> Iterator[str]:
    yield from (f"  {what}: {line}" for line in lines[:NUM_SHOWN])
    if len(lines) > NUM_SHOWN:
        yield f"  {what}: {len(lines) - NUM_SHOWN:,} more"


def _in_yaml(value: Any) -> str:
    return dump_tree(value, flow=True).strip().removesuffix("\n...")
