"""Very large images cut into tiles that know where they come from: another source, whose files are read by windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from graft.data.formats.listing import Entry, Listing
from graft.data.formats.missing_masks import takes_missing_for_background
from graft.data.formats.tile_reader import TileEntry, TileReader
from graft.data.formats.translation import Translation
from graft.data.formats.void_value import with_void_value
from graft.foundation.choices import resolve
from graft.foundation.errors import GraftError

NOT_CUT = frozenset(
    {"coco", "coco_panoptic", "cvat", "joined", "label_studio", "labelme", "mask_layers", "scenes", "supervisely"}
    | {"tiles", "yolo"}
)


def _known(source: str | dict[str, Any]) -> str | dict[str, Any]:
    """Refuses a source that cannot be resolved while params are checked, before anything is read."""
    from graft.data.formats import FORMATS

    try:
        chosen = resolve(FORMATS, source, where="source")
    except GraftError as error:
        raise ValueError(str(error)) from None
    if chosen.name in NOT_CUT:
        remedy = "; joined may join tiles" if chosen.name == "joined" else ""
        raise ValueError(f"{chosen.name} has no mask files that could be cut into tiles{remedy}")
    if takes_missing_for_background(source):
        raise ValueError("missing_mask: background leaves images without a mask file that could be cut into tiles")
    if chosen.options.get("points") is not None:
        raise ValueError(
            "points cannot be cut into tiles: a point cloud is projected into the whole image of its camera; leave out "
            "points and calibration, or tiles"
        )
    return source


def tiles(
    task: str,
    seed: int,
    root: Path,
    *,
    source: Annotated[str | dict[str, Any], AfterValidator(_known)],
    size_px: Annotated[int, Field(ge=32, le=16384)] = 1024,
) -> Listing:
    """Very large images, found as another source finds them and cut into tiles: maps, aerial and whole-slide images.

    TIFF, tiled or in strips, BigTIFF, pyramids (their highest resolution) and Cloud-optimised GeoTIFF are read by
    windows and never whole; `ingest.max_pixels` bounds what is decoded at once. The tiles of an image are of one size,
    to a pixel, and every pixel lies in exactly one, so that scores over tiles are those of the images. A tile is named
    after image, row and column, and the image is the group of its tiles: they all fall into one split, and it takes
    several images to make three. Masks are cut by the same windows; pixels without data (nodata, transparent) are
    ignored, and tiles of nothing else are left out. For classification a tile has the label of its image.

    Args:
        source: Source of images and targets, as it would stand alone, such as `mask_folder`, `csv` or `stacks`.
        size_px: Longest side of a tile; pictures no larger than that (PNG, JPEG) stay as they are.
    """
    from graft.data.formats import FORMATS

    listing = resolve(FORMATS, source, where="ingest.source.source")(task, seed, root)
    translation, void, as_colours = listing.translation, None, False
    if isinstance(translation, Translation):
        as_colours = translation.reads_colours
        translation, void = with_void_value(translation)
    read = TileReader(listing.read, str(root), listing.class_map, as_colours, void)
    cut = Cutter(read, size_px)
    entries, problems = cut(listing.entries)
    return replace(
        listing,
        class_map=replace(listing.class_map, source="tiles"),
        entries=entries,
        read=read,
        translation=translation,
        problems=[*listing.problems, *problems],
        cut=cut,
    )


@dataclass(frozen=True)
class Cutter:
    """Cuts entries into tiles of at most `size_px`, by the headers of their files."""

    read: TileReader
    size_px: int

    def __call__(self, entries: Sequence[Entry]) -> tuple[list[Entry], list[str]]:
        """Returns the tiles, and a line for each image that cannot be cut."""
        cut: list[Entry] = []
        problems: list[str] = []
        for entry in entries:
            try:
                cut += self._tiles_of(entry)
            except GraftError as error:
                problems.append(str(error))
            except OSError as error:
                problems.append(f"{error.filename or entry.id}: cannot be read ({error.strerror or error})")
        return cut, problems

    def _tiles_of(self, entry: Entry) -> list[Entry]:
        (height, width), is_windowed = self.read.size_of(entry, self.size_px)
        if not is_windowed and max(height, width) <= self.size_px:
            return [entry]
        down, across = tile_edges(height, self.size_px), tile_edges(width, self.size_px)
        return [
            TileEntry(
                id=f"{entry.id}/r{row:04d}-c{column:04d}",
                split=entry.split,
                domain=entry.domain,
                group=entry.group,
                image=entry.image,
                mask=entry.mask,
                label=entry.label,
                own=entry,
                window=(down[row], across[column], down[row + 1], across[column + 1]),
            )
            for row in range(len(down) - 1)
            for column in range(len(across) - 1)
        ]


def tile_edges(side: int, size_px: int) -> list[int]:
    """Where the fewest tiles of at most `size_px` begin along a side, and the end; their sizes differ by at most 1."""
    num_tiles = -(-side // size_px)
    return [number * side // num_tiles for number in range(num_tiles + 1)]
