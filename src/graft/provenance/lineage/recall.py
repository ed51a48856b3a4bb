"""The reverse of lineage: the models that saw an image or a delivery, or were made with any other bytes."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from graft.foundation.class_map import UNLABELLED
from graft.foundation.errors import GraftError
from graft.models.address import ModelAddress, is_address
from graft.provenance.deliveries import file_beside
from graft.provenance.lineage.index import Index
from graft.provenance.lineage.question import AskedThing, expand, find_thing
from graft.provenance.lineage.walk import Chain, Step, chain_of
from graft.provenance.stages import AUGMENTED, EXPORTED, FINE_TUNED, INGESTED, INTERIM, PRETRAINED

ROLES = {"train": "trained on", UNLABELLED: "trained without labels on", "val": "best epoch chosen on"}
SCORED = "scored on"
REMEDY = (
    "check out the commit of each version, run dvc pull and graft publish there (which completes its run), "
    "then run graft lineage --refresh here"
)


@dataclass(frozen=True)
class NeededFacts:
    """The facts without which nobody can say that a version did not see an image.

    Attributes:
        stages: Names of the stages whose file beside the record must be in the index.
        gaps: Prefixes of the paths whose maker must be known.
    """

    stages: tuple[str, ...]
    gaps: tuple[str, ...]


MODELS, DATA = (PRETRAINED, FINE_TUNED, EXPORTED), (INGESTED, INTERIM, AUGMENTED)
OF_IMAGE = NeededFacts(("fine-tune", "pretrain-load"), MODELS)
OF_NAME = NeededFacts(("fine-tune", "pretrain-load", "ingest", "validate"), MODELS + DATA)
OF_BYTES = NeededFacts(("pretrain-load",), ("",))
OF_ANYTHING = NeededFacts(OF_NAME.stages, OF_BYTES.gaps)


@dataclass(frozen=True)
class Sighting:
    """A registered version and how it saw the images.

    Attributes:
        version: Entry of the index.
        how: Phrase `trained on`, `trained without labels on` or `best epoch chosen on`, perhaps after `grown from
            weights: `; `scored on`; or `made with`.
        num_images: Number of the requested images; 0 if the question was about other bytes.
    """

    version: dict[str, Any]
    how: str
    num_images: int


@dataclass(frozen=True)
class UnknownVersion:
    """A registered version that may have seen the images, and the facts the index lacks to tell."""

    version: dict[str, Any]
    lacking: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """The answer to a recall.

    Attributes:
        asked: Question as it was put.
        meant: Kind and number of the things asked for.
        saw: Versions that saw them.
        not_known: Versions that may have seen them.
    """

    asked: str
    meant: str
    saw: tuple[Sighting, ...]
    not_known: tuple[UnknownVersion, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `remedy` is None if nothing is missing."""
        found = [{"how": saw.how, "num_images": saw.num_images, "version": saw.version} for saw in self.saw]
        not_known = [{"lacking": list(each.lacking), "version": each.version} for each in self.not_known]
        remedy = REMEDY if not_known else None
        return {"asked": self.asked, "meant": self.meant, "saw": found, "not_known": not_known, "remedy": remedy}


def who_saw(index: Index, *asked: str) -> Answer:
    """Finds every version that saw an image, was scored on it, or was made with other bytes.

    Args:
        index: Index of lineage.
        asked: Images and masks (files, sample ids, digests), deliveries, digests of other bytes, records, runs or
            commits; also patterns, and lists in a `.txt` file.

    Raises:
        GraftError: Nothing of one of these names is known; all of them are listed.
    """
    names = expand(index, asked)
    found = {name: find_thing(index, name) for name in names}
    if strange := [name for name, thing in found.items() if thing is None]:
        raise _unknown_error(strange, list(_unknown_versions(index, OF_ANYTHING, ())))
    things = [thing for thing in found.values() if thing]
    images = sorted({number for thing in things for number in thing.images})
    after = {record for thing in things for record in _records_after_thing(index, thing)}
    made = (Sighting(version, "made with", 0) for version in _versions_of(index, after))
    saw = tuple(_sort_sightings([*(_sightings(index, images) if images else ()), *made]))
    needed = _needed_facts(things)
    return Answer(", ".join(asked), _describe(things, images), saw, tuple(_unknown_versions(index, needed, saw)))


def _records_after_thing(index: Index, thing: AskedThing) -> set[str]:
    after = {record for digest in thing.digests for record in records_after(index, digest)}
    return after | (_after(index, set(thing.records)) if thing.records else set())


def _needed_facts(things: Iterable[AskedThing]) -> NeededFacts:
    needed = {OF_BYTES if not thing.images else OF_IMAGE if thing.by_digest else OF_NAME for thing in things}
    stages = tuple(dict.fromkeys(stage for facts in needed for stage in facts.stages))
    return NeededFacts(stages, tuple(dict.fromkeys(gap for facts in needed for gap in facts.gaps)))


def _describe(things: list[AskedThing], images: list[int]) -> str:
    count = f"{len(images)} image{'' if len(images) == 1 else 's'}"
    if len(things) > 1:
        kinds = Counter(thing.kind for thing in things)
        said = ", ".join(f"{num} {kind}{'' if num == 1 or kind == 'bytes' else 's'}" for kind, num in kinds.items())
        return f"{said}: {count}" if images else said
    (thing,) = things
    if images:
        return f"{thing.kind} {thing.asked}: {count}"
    return f"{thing.kind} {(*thing.digests, *thing.records)[0][:12]}…"


def name_of(version: dict[str, Any]) -> str:
    """The address of a registered version."""
    return str(ModelAddress(version["name"], version["number"]))


def records_after(index: Index, digest: str) -> set[str]:
    """Finds every record that bytes of this digest went into, through any number of steps."""
    waiting = {record for found in {digest, *_folders_with(index, digest)} for record in index.consumers(found)}
    waiting |= {record for record, _ in index.producers(digest)} if not waiting else set()
    return _after(index, waiting | set(index.grown_from(digest)) | set(index.taught_by(digest)))


def _after(index: Index, waiting: set[str]) -> set[str]:
    reached: set[str] = set()
    while waiting:
        record = waiting.pop()
        reached.add(record)
        made = [row[0] for row in index.database.execute("SELECT digest FROM produced WHERE record = ?", (record,))]
        ways = (index.consumers, index.grown_from, index.taught_by)
        waiting |= {reader for digest in made for find in ways for reader in find(digest)} - reached
    return reached


def _unknown_error(asked: list[str], not_known: list[UnknownVersion]) -> GraftError:
    remedy = "graft lineage --refresh reads the server again; what was never ingested was never seen"
    if not_known:
        names = ", ".join(name_of(each.version) for each in not_known)
        remedy = f"graft lineage --refresh reads the server again; nobody knows yet what {names} saw: {REMEDY}"
    return GraftError(
        "no image, delivery or digest of this name is known",
        where=", ".join(asked),
        rule="an image or mask is a file, the path of a sample below its root (behind the name of a later delivery) or "
        "a digest; a delivery is ingest.batch or a key of ingest.deliveries",
        remedy=remedy,
    )


def _unknown_versions(index: Index, needed: NeededFacts, saw: Iterable[Sighting]) -> Iterator[UnknownVersion]:
    """The versions that are not known to have seen it, but lack a fact needed to say that they did not."""
    found = {name_of(each.version) for each in saw}
    for version in index.versions():
        if name_of(version) not in found:
            lacking = tuple(_lacking_facts(index, chain_of(index, name_of(version)), needed))
            if lacking:
                yield UnknownVersion(version, lacking)


def _lacking_facts(index: Index, chain: Chain, needed: NeededFacts) -> Iterator[str]:
    for step in chain.steps.values():
        if step.stage == "missing" and any(path.startswith(needed.gaps) for path in step.made):
            yield f"the record of {', '.join(step.made)} ({step.key[:12]})"
        elif (file := _needed_file(index, step, needed)) and not _is_beside(index, step.made, file):
            yield f"{file} of the record {step.key[:12]}"
        elif is_address(str(step.facts.get("origin"))):  # weights of a model without a record here
            yield f"the record of {step.facts['origin']}"


def _needed_file(index: Index, step: Step, needed: NeededFacts) -> str | None:
    """The path of the file beside the record of a step, if it is one of the facts that are needed."""
    record = index.record(step.key)
    if record is None or step.kind not in needed.stages:
        return None
    return file_beside(record)


def _is_beside(index: Index, made: Mapping[str, str], file: str) -> bool:
    """Tell whether the index has the file from any record that made the same folder: then it is the same file."""
    folder = made.get(posixpath.dirname(file), "")
    return any(index.has_beside(record) for record, _ in index.producers(folder))


def _folders_with(index: Index, digest: str) -> Iterable[str]:
    """The digests of the folders that hold a file or folder of this digest."""
    for record, path in index.producers(digest):
        parents = {parent.as_posix() for parent in PurePosixPath(path).parents}
        rows = index.database.execute("SELECT digest, path FROM produced WHERE record = ?", (record,))
        yield from (found for found, place in rows.fetchall() if place in parents)


def _sightings(index: Index, images: list[int]) -> Iterable[Sighting]:
    for training, roles in index.seen_by(images).items():
        direct = _exports_of(index, training)
        for version in _versions_of(index, direct):
            yield from (Sighting(version, ROLES.get(role, role), count) for role, count in sorted(roles.items()))
        weights, told = _weights(index, training), direct
        for how, find in (("grown from weights", index.grown_from), ("taught by a model", index.taught_by)):
            later = _after(index, {record for digest in weights for record in find(digest)})
            for version in _versions_of(index, later - told):
                yield from (Sighting(version, f"{how}: {ROLES.get(role, role)}", roles[role]) for role in roles)
            told = told | later
    yield from _scored(index, images)


def _scored(index: Index, images: list[int]) -> Iterator[Sighting]:
    """The versions that were scored on the split that an ingest put these images into."""
    for ingest, splits in index.placed_by(images).items():
        record = index.record(ingest)
        for split, count in splits.items():
            digest = record.digest_of(f"{INTERIM}/{split}") if record else None
            readers = {reader for reader in index.consumers(digest or "") if _scores(index, reader, split)}
            yield from (Sighting(version, SCORED, count) for version in _versions_of(index, readers))


def _scores(index: Index, reader: str, split: str) -> bool:
    """Whether a record is of an export that compared its files on a split; to quantise, it may read others too."""
    record = index.record(reader)
    if record is None or record.stage != "export":
        return False
    return record.params.get("evaluate", {}).get("split", split) == split


def _is_export(index: Index, reader: str) -> bool:
    record = index.record(reader)
    return record is not None and record.stage == "export"


def _exports_of(index: Index, training: str) -> set[str]:
    """The records of the exports of a training."""
    record = index.record(training)
    readers = index.consumers(record.outputs.get(FINE_TUNED, "")) if record else []
    return {reader for reader in readers if _is_export(index, reader)}


def _weights(index: Index, training: str) -> set[str]:
    """The digests of the weight files of a training and of its exports: either may be what another model grew from."""
    records = filter(None, map(index.record, (training, *_exports_of(index, training))))
    return {digest for record in records for name, digest in record.files.items() if _is_weights(name)}


def _is_weights(name: str) -> bool:
    return PurePosixPath(name).suffix in (".safetensors", ".onnx")


def _versions_of(index: Index, records: set[str]) -> list[dict[str, Any]]:
    models = {record.outputs.get(EXPORTED) for record in filter(None, map(index.record, records))}
    return [version for version in index.versions() if version["record"] in records or version["model"] in models]


def _sort_sightings(saw: Iterable[Sighting]) -> list[Sighting]:
    unique = {(item.version["name"], item.version["number"], item.how): item for item in saw}
    return [unique[key] for key in sorted(unique, key=lambda key: (key[0], key[1], key[2]))]
