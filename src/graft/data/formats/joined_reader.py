"""Entries of several sources under names of the whole; each is read, and cut, as its own source does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from graft.data.formats.listing import Cut, Entry, Reader, read_within


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedEntry(Entry):
    """An entry of a source, renamed.

    Attributes:
        source: Number of the source.
        own: The entry as its source made it.
    """

    source: int
    own: Entry

    @property
    def beside(self) -> tuple[str, ...]:
        return tuple(self._front + path for path in self.own.beside)

    @property
    def image_id(self) -> str:
        return self._front + self.own.image_id

    @property
    def _front(self) -> str:
        return self.id.removesuffix(self.own.id)


@dataclass(frozen=True)
class JoinedReader:
    """Reads an entry as its source does."""

    of_source: tuple[Reader, ...]

    def __call__(self, entry: Entry) -> tuple[bytes, bytes | None]:
        assert isinstance(entry, JoinedEntry)
        return self.of_source[entry.source](entry.own)

    def within(self, max_pixels: int) -> JoinedReader:
        """The same reader, whose sources decode at most so many pixels at once."""
        return JoinedReader(tuple(read_within(read, max_pixels) for read in self.of_source))


@dataclass(frozen=True)
class JoinedCutter:
    """Cuts further images as the source cuts its own in whose folder they lie; others stay whole.

    Attributes:
        folders: For each source its folder below the root, as a part of ids, with a slash behind.
        cut: For each source how it cuts; None where it does not.
    """

    folders: tuple[str, ...]
    cut: tuple[Cut | None, ...]

    def __call__(self, entries: Sequence[Entry]) -> tuple[list[Entry], list[str]]:
        """Returns the images and tiles, and a line for each image that cannot be cut."""
        made: list[Entry] = []
        problems: list[str] = []
        for entry in entries:
            number = self._source_of(entry)
            cut = None if number is None else self.cut[number]
            if number is None or cut is None:
                made.append(entry)
                continue
            front = self.folders[number]
            path = "/".join(str(entry.image).split("/")[front.count("/") :])
            within = replace(entry, id=entry.id.removeprefix(front), group=entry.group.removeprefix(front), image=path)
            tiles, wrong = cut([within])
            made += [entry if tile is within else renamed(tile, front, number) for tile in tiles]
            problems += [f"{front.removesuffix('/') or number}: {line}" for line in wrong]
        return made, problems

    def _source_of(self, entry: Entry) -> int | None:
        """Number of the source with the longest folder that the image lies in."""
        within = [number for number, front in enumerate(self.folders) if entry.id.startswith(front)]
        return max(within, key=lambda number: len(self.folders[number]), default=None)


def renamed(own: Entry, front: str, number: int) -> JoinedEntry:
    """An entry of the source of a number, its names with the folder of the source in front."""
    return JoinedEntry(
        id=front + own.id,
        split=own.split,
        domain=own.domain,
        group=front + own.group,
        image=own.image,
        mask=None if own.mask is None else front + own.mask,
        label=own.label,
        source=number,
        own=own,
    )
