"""The raw files, compared with the manifest of ingest: every image, mask or label that was changed or is gone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from graft.foundation.class_map import ClassMap
from graft.foundation.content import digest_of, digest_of_listing, listing
from graft.foundation.errors import GraftError
from graft.foundation.progress import progress
from graft.foundation.workers import map_in_order
from graft.provenance.audit.link import BROKEN, MISSING, VERIFIED, Check, join_first
from graft.provenance.audit.record_files import file_of
from graft.provenance.deliveries import class_map_of, front_of, ingest_section, manifest_of
from graft.provenance.lineage.index import Index
from graft.provenance.lineage.walk import Chain
from graft.provenance.raw_listing import list_raw
from graft.provenance.records import Record
from graft.provenance.stages import is_ingest

if TYPE_CHECKING:
    from graft.data.formats.listing import Entry, Listing, Reader
    from graft.data.formats.translation import Translation, Translations


def check_raw(index: Index, chain: Chain) -> Iterator[Check]:
    """Checks every folder of raw files; if its digest is another, each sample is read again."""
    steps = (step for step in chain.steps.values() if is_ingest(step.stage))
    records = [record for step in steps if (record := index.record(step.key))]
    inputs = {
        (path, digest, str(ingest_section(record).get("source"))): record  # two deliveries may share a root
        for record in records
        for path, digest in record.inputs.items()
    }
    for (path, digest, _), record in inputs.items():
        yield from _check_root(index, Path(path), digest, record)


def _check_root(index: Index, root: Path, digest: str, record: Record) -> Iterator[Check]:
    what = f"raw files {root}"
    if not root.exists():
        yield Check(MISSING, what, "not on this machine")
        return
    found = {root.name: digest_of(root)} if root.is_file() else listing(root)
    if digest == (digest_of_listing(found) if root.is_dir() else found[root.name]):
        yield Check(VERIFIED, what, f"{len(found)} files as recorded")
        return
    try:
        noted = _read_noted(record)
        now = list_raw(root, record)
        changed, gone = list(_changed_files(index, now, noted, record)), list(_gone_samples(root, now, noted))
    except GraftError as error:
        yield Check(
            MISSING,
            what,
            f"files were added, removed or changed since, and can no longer be read in the same way: {error}",
        )
        return
    if changed:
        yield Check(BROKEN, what, f"{join_first(changed)}: not what was ingested under this name")
    if gone:
        yield Check(MISSING, what, f"gone: {join_first(gone)}")
    if not changed and not gone:
        kept = "every image, mask and label still there is what it was"
        reason = kept if noted.why_not is None else f"masks and labels cannot be compared: {noted.why_not}"
        yield Check(MISSING, what, f"files were added, removed or changed since; {reason}")


class Sample(NamedTuple):
    """A sample in the manifest: sha256 of its image and of its mask in class ids, and the name of its class."""

    image: str
    mask: str | None
    label: str | None


@dataclass(frozen=True)
class NotedSamples:
    """The manifest.

    Attributes:
        samples: Samples by id; empty if the manifest is not kept.
        why_not: Reason why masks and labels cannot be compared with it; None if they can.
    """

    samples: Mapping[str, Sample]
    why_not: str | None


def _read_noted(record: Record) -> NotedSamples:
    manifest, class_map = (file_of(record, name or "") for name in (manifest_of(record), class_map_of(record)))
    if manifest is None or class_map is None:
        return NotedSamples({}, "the manifest of ingest is neither in the workspace nor in DVC's cache")
    import pyarrow.parquet as pq

    names = ClassMap.read(class_map).names
    rows = pq.read_table(manifest, columns=["id", "image_sha256", "mask_sha256", "label"]).to_pylist()
    front = front_of(record)
    samples = {
        row["id"].removeprefix(front): Sample(row["image_sha256"], row["mask_sha256"], _name(names, row["label"]))
        for row in rows
    }
    code = {**record.code, **record.locks}
    other = [path for path, digest in code.items() if not _is_unchanged(Path(path), digest)]
    return NotedSamples(
        samples, f"ingest has another {join_first(other)} now, and may write them otherwise" if other else None
    )


def _is_unchanged(path: Path, digest: str) -> bool:
    return path.exists() and digest_of(path) == digest


def _changed_files(index: Index, now: Listing, noted: NotedSamples, record: Record) -> Iterator[str]:
    """Images, masks and labels that differ from the manifest; those drawn by a program have no file to compare."""
    entries = [entry for entry in now.entries if isinstance(entry.image, str)]
    from graft.data.formats.listing import read_within

    max_pixels = ingest_section(record)["max_pixels"]
    read = EntryDigests(read_within(now.read, max_pixels), now.translation, max_pixels)
    digests = map_in_order(read, entries, num_items=len(entries))
    shown = progress(digests, "Comparing raw files", total=len(entries), unit="image")
    for entry, (image, mask) in zip(entries, shown, strict=True):
        before = noted.samples.get(entry.id)
        if before is None:
            if not noted.samples and _has_other_bytes(index, front_of(record) + entry.id, image):
                yield entry.id
        elif before.image != image:
            yield entry.id
        elif noted.why_not is None and before.mask != mask:
            yield entry.mask or f"{'mask' if entry.labels is None else 'labels'} of {entry.id}"
        elif noted.why_not is None and before.label != _name(now.class_map.names, entry.label):
            yield f"label of {entry.id}"


def _gone_samples(root: Path, now: Listing, noted: NotedSamples) -> Iterator[str]:
    """Samples that the source no longer finds, because their image, mask or label is gone."""
    for id in sorted(noted.samples.keys() - {entry.id for entry in now.entries}):
        yield f"mask or label of {id}" if (root / id).is_file() else id


@dataclass(frozen=True)
class EntryDigests:
    """Computes the digests of an entry as ingest does, of its image and of its mask in class ids; can be pickled.

    A file that can no longer be read has the digest "".
    """

    read: Reader
    translation: Translation | Translations | None
    max_pixels: int

    def __call__(self, entry: Entry) -> tuple[str, str | None]:
        from graft.data.facts import mask_facts

        try:
            image, mask = self.read(entry)
        except GraftError:
            return "", ""
        digest = hashlib.sha256(image).hexdigest()
        if entry.labels is not None:
            return digest, hashlib.sha256(entry.labels).hexdigest()
        if mask is None or self.translation is None:
            return digest, None
        try:
            return digest, mask_facts(mask, self.translation.of(entry), entry.id, self.max_pixels)["mask_sha256"]
        except GraftError:
            return digest, ""


def _has_other_bytes(index: Index, name: str, sha256: str) -> bool:
    numbers = index.images("id", name)
    return bool(numbers) and not set(numbers) & set(index.images("digest", sha256))


def _name(names: tuple[str, ...], label: int | None) -> str | None:
    return None if label is None else names[label]
