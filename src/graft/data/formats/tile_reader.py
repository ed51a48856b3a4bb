"""Tiles of images and masks, read by windows and encoded: the same window of the same file is the same bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from graft.data.formats.array_masks import refuse_array
from graft.data.formats.listing import Entry, LeftOut, Reader
from graft.foundation.class_map import ClassMap
from graft.foundation.errors import GraftError

if TYPE_CHECKING:
    from graft.data.formats.void_value import VoidValue
    from graft.data.images.cutouts import Cutout, FileKind


@dataclass(frozen=True, slots=True, kw_only=True)
class TileEntry(Entry):
    """A part of an image.

    Attributes:
        own: Entry of the whole image, as its source made it.
        window: First row and column, and the row and column behind the last.
    """

    own: Entry
    window: tuple[int, int, int, int]

    @property
    def image_id(self) -> str:
        return self.own.image_id


@dataclass(frozen=True)
class TileReader:
    """Reads tiles, and entries that were not cut as their source does.

    Attributes:
        source: Reader of whole entries.
        root: Folder that the paths of entries are relative to.
        kind: Class map, which says the channels of the images.
        as_colours: Whether masks are read as colours, so that palettes are looked up.
        void: Value that pixels without data get in masks; None where there are no masks.
        max_pixels: Number of pixels that are decoded at once, at most; None sets no limit.
    """

    source: Reader
    root: str
    kind: ClassMap
    as_colours: bool
    void: VoidValue | None
    max_pixels: int | None = None

    def within(self, max_pixels: int) -> TileReader:
        """The same reader, which decodes at most so many pixels at once."""
        return replace(self, max_pixels=max_pixels)

    def __call__(self, entry: Entry) -> tuple[bytes, bytes | None]:
        if not isinstance(entry, TileEntry):
            return self.source(entry)
        from graft.data.formats.stacks import zip_files
        from graft.data.images.cutouts import either, encode_mask

        paths = _files_of(entry.own)
        parts = [self._image_part(path, entry, len(paths)) for path in paths]
        lacks = either([part.lacks_data for part in parts])
        mask = None
        if entry.mask is not None and self.void is not None:
            values = self._mask_part(entry.mask, entry)
            lacks = either([lacks, values.lacks_data])
            mask = encode_mask(values.values, lacks, self.void.grey, self.void.colour)
        if lacks is not None and lacks.all():
            raise LeftOut("no pixel of this tile has data", where=entry.id)
        encoded = [part.encode() for part in parts]
        if len(encoded) == 1:
            return encoded[0], mask
        return zip_files((f"{path}.tif", data) for path, data in zip(paths, encoded, strict=True)), mask

    def size_of(self, entry: Entry, rows: int) -> tuple[tuple[int, int], bool]:
        """Rows and columns of an image, by the headers of its files, and whether it is read by windows of so many rows.

        Raises:
            GraftError: A file cannot be read by windows, or the files, the mask among them, are not of one size.
        """
        from graft.data.images.cutouts import measure_image, measure_mask

        paths = _files_of(entry)
        found = [(path, *measure_image(self._file(path, len(paths)), rows)) for path in paths]
        if entry.mask is not None:
            refuse_array(entry.mask)
            found.append((entry.mask, *measure_mask(self._file(entry.mask))))
        _, size, _ = found[0]
        for path, other, _ in found[1:]:
            if other != size:
                raise GraftError(
                    f"it has {other[1]} x {other[0]} pixels, and its image {entry.id} {size[1]} x {size[0]}",
                    where=path,
                    rule="an image and what belongs to it are cut by the same windows, so they have one size",
                )
        return size, any(is_windowed for _, _, is_windowed in found)

    def _image_part(self, path: str, entry: TileEntry, num_parts: int) -> Cutout:
        from graft.data.images.cutouts import cut_image

        return cut_image(self._file(path, num_parts), entry.window)

    def _mask_part(self, path: str, entry: TileEntry) -> Cutout:
        from graft.data.images.cutouts import cut_mask

        return cut_mask(self._file(path), entry.window, as_colours=self.as_colours)

    def _file(self, path: str, num_parts: int = 1) -> FileKind:
        from graft.data.images.cutouts import FileKind

        return FileKind(self.root, path, self.kind.channels, self.kind.max_value, num_parts, self.max_pixels)


def _files_of(entry: Entry) -> tuple[str, ...]:
    """Paths below the root of the files that make an image."""
    return (str(entry.image), *getattr(entry, "more", ()))
