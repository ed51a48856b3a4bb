"""The reverse of lineage: which models saw an image, a delivery, or were made with any other bytes."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from graft.foundation.content import sha256_of
from graft.foundation.errors import GraftError
from graft.models.address import ModelAddress, is_address
from graft.provenance.lineage.freshness import BESIDE_RECORD
from graft.provenance.lineage.index import Index
from graft.provenance.lineage.walk import Chain, chain_of

ROLES = {"train": "trained on", "val": "best epoch chosen on"}
REMEDY = (
    "in a checkout of the commit of each: dvc pull, then graft publish, which completes its run; "
    "then here: graft lineage --refresh"
)


@dataclass(frozen=True)
class Needed:
    """What must be known of a version before it can be said that it did not see what was asked for.

    Attributes:
        stages: Whose file beside the record must have been taken.
        gaps: What the paths begin with whose maker must be known.
    """

    stages: tuple[str, ...]
    gaps: tuple[str, ...]


OF_IMAGE = Needed(("fine-tune", "pretrain-load"), ("models/",))
OF_NAME = Needed(("fine-tune", "pretrain-load", "ingest"), ("models/", "data/"))
OF_BYTES = Needed(("pretrain-load",), ("",))
OF_ANYTHING = Needed(OF_NAME.stages, OF_BYTES.gaps)


@dataclass(frozen=True)
class Saw:
    """A version and how it is touched.

    Attributes:
        version: As the index has it.
        how: `trained on`, `best epoch chosen on`, either after `grown from weights: `, or `made with`.
        num_images: How many of the images asked for; 0 where the question was about other bytes.
    """

    version: dict[str, Any]
    how: str
    num_images: int


@dataclass(frozen=True)
class NotKnown:
    """A version that may have seen it, and what the index lacks to tell."""

    version: dict[str, Any]
    lacking: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """What was asked, what it is, every version that saw it, and every version of which that is not known."""

    asked: str
    meant: str
    saw: tuple[Saw, ...]
    not_known: tuple[NotKnown, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `remedy` is None where there is nothing to mend."""
        found = [{"how": saw.how, "num_images": saw.num_images, "version": saw.version} for saw in self.saw]
        not_known = [{"lacking": list(each.lacking), "version": each.version} for each in self.not_known]
        remedy = REMEDY if not_known else None
        return {"asked": self.asked, "meant": self.meant, "saw": found, "not_known": not_known, "remedy": remedy}


def who_saw(index: Index, asked: str) -> Answer:
    """Every registered version that saw an image (a file, a sample's id, a sha256), a delivery, or was made with bytes.

    Raises:
        GraftError: Nothing of that name or digest is known.
    """
    digest = sha256_of(Path(asked)) if Path(asked).is_file() else asked.lower()
    by_digest, by_id = index.images("digest", digest), index.images("id", asked)
    of_delivery: list[int] = []
    if not by_digest and not by_id:
        of_delivery = index.images("delivery", asked)
    images = sorted({*by_digest, *by_id, *of_delivery})
    if images:
        kind = "delivery" if of_delivery else "image"
        count = f"{len(images)} image{'' if len(images) == 1 else 's'}"
        saw = tuple(_in_order(_saw(index, images)))
        needed = OF_IMAGE if by_digest else OF_NAME
        return Answer(asked, f"{kind} {asked}: {count}", saw, tuple(_not_known(index, needed, saw)))
    if re.fullmatch("[0-9a-f]{64}", digest) and _is_known(index, digest):
        made = (Saw(version, "made with", 0) for version in _versions_of(index, records_after(index, digest)))
        saw = tuple(_in_order(made))
        return Answer(asked, f"bytes {digest[:12]}…", saw, tuple(_not_known(index, OF_BYTES, saw)))
    raise _nothing_known(asked, list(_not_known(index, OF_ANYTHING, ())))


def name_of(version: dict[str, Any]) -> str:
    """The address of a registered version."""
    return str(ModelAddress(version["name"], version["number"]))


def records_after(index: Index, digest: str) -> set[str]:
    """Every record that bytes of this digest went into, by way of as many steps as it takes."""
    waiting = {record for found in {digest, *_folders_with(index, digest)} for record in index.consumers(found)}
    waiting |= {record for record, _ in index.producers(digest)} if not waiting else set()
    return _after(index, waiting | set(index.grown_from(digest)))


def _after(index: Index, waiting: set[str]) -> set[str]:
    reached: set[str] = set()
    while waiting:
        record = waiting.pop()
        reached.add(record)
        made = [row[0] for row in index.database.execute("SELECT digest FROM produced WHERE record = ?", (record,))]
        after = {reader for digest in made for reader in (*index.consumers(digest), *index.grown_from(digest))}
        waiting |= after - reached
    return reached


def _nothing_known(asked: str, not_known: list[NotKnown]) -> GraftError:
    remedy = "graft lineage --refresh reads the server again; what was never ingested was never seen"
    if not_known:
        names = ", ".join(name_of(each.version) for each in not_known)
        remedy = f"graft lineage --refresh reads the server again; what {names} saw is not known: {REMEDY}"
    return GraftError(
        "no image, delivery or digest of this name is known",
        where=asked,
        rule="an image is a file, the path of a sample below ingest.root or a sha256; a delivery is an ingest.batch",
        remedy=remedy,
    )


def _not_known(index: Index, needed: Needed, saw: Iterable[Saw]) -> Iterator[NotKnown]:
    """The versions that are not among those that saw it, and lack something that is needed to say they did not."""
    found = {name_of(each.version) for each in saw}
    for version in index.versions():
        if name_of(version) not in found:
            lacking = tuple(_lacking(index, chain_of(index, name_of(version)), needed))
            if lacking:
                yield NotKnown(version, lacking)


def _lacking(index: Index, chain: Chain, needed: Needed) -> Iterator[str]:
    for step in chain.steps.values():
        if step.stage == "missing" and any(path.startswith(needed.gaps) for path in step.made):
            yield f"the record of {', '.join(step.made)} ({step.key[:12]})"
        elif step.stage in needed.stages and not _is_beside(index, step.made, BESIDE_RECORD[step.stage]):
            yield f"{BESIDE_RECORD[step.stage]} of the record {step.key[:12]}"
        elif is_address(str(step.facts.get("origin"))):  # weights of a model that no record here speaks of
            yield f"the record of {step.facts['origin']}"


def _is_beside(index: Index, made: Mapping[str, str], file: str) -> bool:
    """Whether the file was taken from any record that made the same folder: then it is the same file."""
    folder = made.get(posixpath.dirname(file), "")
    return any(index.has_beside(record) for record, _ in index.producers(folder))


def _folders_with(index: Index, digest: str) -> Iterable[str]:
    """Folders that hold a file or folder of this digest, by their own digests."""
    for record, path in index.producers(digest):
        parents = {parent.as_posix() for parent in PurePosixPath(path).parents}
        rows = index.database.execute("SELECT digest, path FROM produced WHERE record = ?", (record,))
        yield from (found for found, place in rows.fetchall() if place in parents)


def _is_known(index: Index, digest: str) -> bool:
    return bool(index.producers(digest) or index.consumers(digest) or index.grown_from(digest))


def _saw(index: Index, images: list[int]) -> Iterable[Saw]:
    for training, roles in index.seen_by(images).items():
        outputs = (index.record(training) or {"outputs": {}})["outputs"]
        direct = _exports_of(index, outputs.get("models/fine_tuned", ""))
        for version in _versions_of(index, direct):
            yield from (Saw(version, ROLES.get(role, role), count) for role, count in sorted(roles.items()))
        grown = _after(index, {card for digest in _weights(index, training) for card in index.grown_from(digest)})
        for version in _versions_of(index, grown - direct):
            yield from (Saw(version, f"grown from weights: {ROLES.get(role, role)}", roles[role]) for role in roles)


def _exports_of(index: Index, fine_tuned: str) -> set[str]:
    return {record for record in index.consumers(fine_tuned) if (index.record(record) or {})["stage"] == "export"}


def _weights(index: Index, training: str) -> set[str]:
    """The digests of the weight files of a training and of its exports: either may be what another model grew from."""
    record = index.record(training) or {"outputs": {}, "files": {}}
    exports = _exports_of(index, record["outputs"].get("models/fine_tuned", ""))
    contents = [record, *(index.record(export) or {"files": {}} for export in exports)]
    return {digest for content in contents for name, digest in content["files"].items() if _is_weights(name)}


def _is_weights(name: str) -> bool:
    return PurePosixPath(name).suffix in (".safetensors", ".onnx")


def _versions_of(index: Index, records: set[str]) -> list[dict[str, Any]]:
    models = {(index.record(record) or {"outputs": {}})["outputs"].get("models/exported") for record in records}
    return [version for version in index.versions() if version["record"] in records or version["model"] in models]


def _in_order(saw: Iterable[Saw]) -> list[Saw]:
    unique = {(item.version["name"], item.version["number"], item.how): item for item in saw}
    return [unique[key] for key in sorted(unique, key=lambda key: (key[0], key[1], key[2]))]
