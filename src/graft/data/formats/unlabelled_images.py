"""Images without masks or labels: in folders that say so by their name, or where `ingest.unlabelled` says."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from graft.data.formats.files import EXTENSIONS_READ, FileReader, Found, find_files
from graft.data.formats.listing import Entry, Listing, Reader, read_within
from graft.data.formats.patterns import ImagePattern
from graft.data.formats.split_names import split_named
from graft.foundation.class_map import UNLABELLED
from graft.foundation.errors import GraftError

WHERE = "ingest.unlabelled"


@dataclass(frozen=True, slots=True)
class UnlabelledEntry(Entry):
    """An image that a pattern found beside those of the source."""


@dataclass(frozen=True)
class ReaderOfBoth:
    """Reads the entries of a source as the source does, and the images beside them as files below `root`."""

    source: Reader
    root: str

    def __call__(self, entry: Entry) -> tuple[bytes, bytes | None]:
        return FileReader(self.root)(entry) if isinstance(entry, UnlabelledEntry) else self.source(entry)

    def within(self, max_pixels: int) -> ReaderOfBoth:
        """The same reader, whose source decodes at most so many pixels at once."""
        return ReaderOfBoth(read_within(self.source, max_pixels), self.root)


def add_unlabelled(listing: Listing, root: Path, patterns: str | Sequence[str] | None) -> Listing:
    """The listing, and as the split `unlabelled` the images that match and that the source leaves without a target.

    An image to which the source gives a target keeps it; one that it misses a target of is no problem any more.

    Args:
        listing: Listing of the source.
        root: Value of `ingest.root`.
        patterns: Value of `ingest.unlabelled`: globs below the root.

    Raises:
        GraftError: A pattern finds nothing that the source leaves over, or leads out of the root.
    """
    if patterns is None:
        return listing
    found = find_files(root)
    taken = {entry.image_id for entry in listing.entries}
    others = {entry.mask for entry in listing.entries} | {*listing.not_images}
    images = [id for id in found.paths if is_picture(id) and id not in taken and found.paths[id] not in others]
    matched: set[str] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        wanted = ImagePattern(pattern, where=WHERE)
        here = {id for id in images if wanted.match(id)}
        if not here:
            raise GraftError(
                f"no image matches {pattern!r} but those that have a mask or label; {found.in_words()}",
                where=WHERE,
                rule="patterns are relative to ingest.root, and what the source gives a target to keeps it",
                remedy="correct the pattern, or set ingest.unlabelled: null",
            )
        matched |= here
    forgiven = {line for id, line in listing.without_target.items() if id in matched}
    problems = [line for line in listing.problems if line not in forgiven] + found.refusals(sorted(matched))
    added: list[Entry] = [UnlabelledEntry(*_of_file(found, id)) for id in sorted(matched - found.refused.keys())]
    if listing.cut is not None:
        added, uncut = listing.cut(added)
        problems += uncut
    read = ReaderOfBoth(listing.read, str(root))
    return replace(listing, entries=[*listing.entries, *added], read=read, problems=problems)


def unlabelled_entry(found: Found, id: str) -> Entry:
    """A file without a target as an entry of its source."""
    return Entry(*_of_file(found, id))


def is_in_unlabelled_folder(id: str) -> bool:
    """Whether one of the folders above a file is named `unlabelled`, as a split would be."""
    return any(split_named(folder) == UNLABELLED for folder in id.split("/")[:-1])


def outside_unlabelled_folders(found: Found) -> Found:
    """The files and folders that are neither named `unlabelled` nor below a folder that is."""

    def kept(ids: Iterable[str]) -> list[str]:
        return [id for id in ids if not is_in_unlabelled_folder(id)]

    paths = {id: found.paths[id] for id in kept(found.paths)}
    folders = {folder for folder in found.folders if not is_in_unlabelled_folder(f"{folder}/")}
    return replace(found, paths=paths, folders=folders)


def is_picture(id: str) -> bool:
    """Whether a file is named as pictures are."""
    return posixpath.splitext(id)[1].lower() in EXTENSIONS_READ


def _of_file(found: Found, id: str) -> tuple[str, str, str, str, str]:
    return id, UNLABELLED, "unspecified", id, found.paths[id]
