"""The things that a recall asks for: images, masks, deliveries and other bytes, by file, id, digest or pattern."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from glob import escape, glob
from pathlib import Path

from graft.foundation.content import sha256_of
from graft.foundation.errors import GraftError
from graft.provenance.lineage.index import Index

LIST = ".txt"
LEAST_DIGITS = 7  # of a digest, as git has it


@dataclass(frozen=True)
class AskedThing:
    """One thing that was asked for.

    Attributes:
        asked: Name it was asked for by.
        kind: `image`, `mask`, `delivery`, `bytes`, `record`, `run` or `commit`.
        images: Numbers of the images in the index; none for other bytes.
        digests: Digests of other bytes.
        records: Digests of records.
        by_digest: Whether the images are known by their bytes, and not by a name that a delivery gave them.
    """

    asked: str
    kind: str
    images: tuple[int, ...] = ()
    digests: tuple[str, ...] = ()
    records: tuple[str, ...] = ()
    by_digest: bool = False


def expand(index: Index, asked: Sequence[str]) -> list[str]:
    """Replaces lists by their lines, and patterns by the files and sample ids that match; the order stays.

    Raises:
        GraftError: A list is no text, or nothing matches a pattern.
    """
    return list(dict.fromkeys(name for each in asked for name in _names_in(index, each)))


def find_thing(index: Index, asked: str) -> AskedThing | None:
    """Finds what a name means: an image or mask first, then a delivery, then other bytes; None if nothing.

    Raises:
        GraftError: The digits are the beginning of several digests.
    """
    file = Path(asked)
    digest = sha256_of(file) if file.is_file() else _complete(index, asked.lower())
    by_digest, by_mask = index.images("digest", digest), index.images("mask", digest)
    by_id = _images_called(index, asked)
    if by_digest or by_id:
        images = sorted({*by_digest, *by_id})
        return AskedThing(asked, "image", tuple(images), by_digest=bool(by_digest))
    if by_mask:
        return AskedThing(asked, "mask", tuple(by_mask))
    if (of_file := _find_raw_file(index, asked, file)) is not None:
        return of_file
    if of_delivery := index.images("delivery", asked):
        return AskedThing(asked, "delivery", tuple(of_delivery))
    return _find_other(index, asked, digest)


def _images_called(index: Index, asked: str) -> set[int]:
    """Numbers of the images that have an id, or are the tiles of the image that has it."""
    tiles = index.ids_like(f"{escape(asked)}/r[0-9]*-c[0-9]*")
    return {number for id in (asked, *tiles) for number in index.images("id", id)}


def _find_other(index: Index, asked: str, digest: str) -> AskedThing | None:
    if re.fullmatch("[0-9a-f]{64}", digest) and index.is_known(digest):
        return AskedThing(asked, "bytes", digests=(digest,))
    named = {"record": [digest] if index.has_record(digest) else [], **index.records_named(asked.lower())}
    kind = next((kind for kind, records in named.items() if records), None)
    return None if kind is None or len(asked) < LEAST_DIGITS else AskedThing(asked, kind, records=tuple(named[kind]))


def _names_in(index: Index, asked: str) -> Iterator[str]:
    if Path(asked).is_file() and asked.endswith(LIST) and not index.images("digest", sha256_of(Path(asked))):
        try:
            lines = Path(asked).read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError:
            remedy = "write a name, id or digest a line"
            raise GraftError("not a list in UTF-8", where=asked, remedy=remedy) from None
        for line in filter(None, map(str.strip, lines)):
            yield from _names_in(index, line)
    elif re.search(r"[*?\[]", asked) and not Path(asked).exists() and not index.images("id", asked):
        found = glob(asked, recursive=True)  # noqa: PTH207  (a pattern may be absolute)
        files = sorted(path for path in found if Path(path).is_file())
        if not (names := files or index.ids_like(asked)):
            rule = "a pattern is matched against files here, then against the ids of ingested images"
            raise GraftError("nothing matches this pattern", where=asked, rule=rule, remedy="quote it for the shell")
        yield from names
    else:
        yield asked


def _complete(index: Index, asked: str) -> str:
    """The whole digest whose beginning was asked for, as lineage prints it; what is no beginning stays."""
    if not re.fullmatch(f"[0-9a-f]{{{LEAST_DIGITS},63}}", asked):
        return asked
    found = index.digests_like(asked)
    if len(found) > 1:
        remedy = f"write more digits: {', '.join(sorted(found)[:3])}"
        raise GraftError("several digests begin like this", where=asked, remedy=remedy)
    return next(iter(found), asked)


def _find_raw_file(index: Index, asked: str, file: Path) -> AskedThing | None:
    """A file that is not stored as it was delivered, a mask or an image that was cut into tiles, found by its path."""
    from graft.data.formats.files import id_of
    from graft.provenance.deliveries import front_of
    from graft.provenance.raw_listing import list_raw
    from graft.provenance.records import Record
    from graft.provenance.stages import is_ingest, record_path, recorded_stages

    if not file.is_file():
        return None
    records = [Record.read(record_path(stage)) for stage in recorded_stages() if is_ingest(stage)]
    for root, record in ((Path(root), each) for each in records for root in each.inputs):
        name = id_of(Path(os.path.relpath(file.resolve(), root.resolve())).as_posix())
        if name.startswith("../") or not root.is_dir():
            continue
        try:
            entries = list_raw(root, record).entries
        except GraftError:  # it can no longer be read in the same way; graft audit says why
            continue
        tiles = [entry.id for entry in entries if entry.image_id == name != entry.id]
        masks = [entry.id for entry in entries if entry.mask is not None and id_of(entry.mask) == name]
        for kind, ids in (("image", tiles), ("mask", masks)):
            if numbers := {number for id in ids for number in index.images("id", front_of(record) + id)}:
                return AskedThing(asked, kind, tuple(sorted(numbers)))
    return None
