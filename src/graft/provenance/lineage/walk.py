"""The chain of a model: from the exported files back to the raw files, digest by digest."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from graft.foundation.content import digest_of
from graft.foundation.errors import GraftError
from graft.models.address import ModelAddress, is_address
from graft.provenance.deliveries import ingest_section
from graft.provenance.lineage.index import Index
from graft.provenance.records import Record
from graft.provenance.stages import (
    EXPORTED,
    FINE_TUNED,
    INGEST,
    NO_MODEL,
    STAGES,
    in_order,
    is_ingest,
    is_within,
    weights_source,
)

ORDER = ("fine-tune", "augment", "pretrain-load", "ingest", "validate", "evaluate", "export")
WEIGHTS, TEACHER = "weights", "teacher"  # roles of files of weights, in the place of their paths
ENDS = {"raw": "raw files", "source": "weights source", "missing": "missing"}


@dataclass(frozen=True)
class Link:
    """An input of a step.

    Attributes:
        to: Key of the step that made it.
        paths: Digests of the files and folders read, by path.
    """

    to: str
    paths: dict[str, str]


@dataclass(frozen=True)
class Step:
    """One link of the chain: a record and what is known of it, or an end (raw files, a weights source, nothing).

    Attributes:
        key: Digest of the record; for an end, the digest of its bytes.
        stage: Name of a stage of `dvc.yaml`, or `raw`, `source` or `missing`.
        made: Digests of its outputs, by path.
        facts: Details for a person: run, commit, params, environment, metrics, origin, licence …
        links: Inputs.
    """

    key: str
    stage: str
    made: dict[str, str]
    facts: dict[str, Any] = field(default_factory=dict)
    links: tuple[Link, ...] = ()

    @property
    def kind(self) -> str:
        """Name of the stage, of ingest whichever delivery it read."""
        return INGEST if is_ingest(self.stage) else self.stage

    @property
    def what(self) -> str:
        return STAGES[self.kind].product if self.kind in STAGES else ENDS.get(self.kind, self.kind)


@dataclass(frozen=True)
class Chain:
    """A model and every step behind it.

    Attributes:
        model: Digest of the exported files.
        versions: Registered versions of these files.
        steps: Steps by key; the first is the export.
    """

    model: str
    versions: tuple[dict[str, Any], ...]
    steps: dict[str, Step]

    @property
    def first(self) -> Step:
        return next(iter(self.steps.values()))

    @property
    def missing(self) -> list[str]:
        """The gaps of the chain: outputs without a record, a line each."""
        return [f"{', '.join(step.made)} ({key[:12]}): no record" for key, step in self.steps.items() if _is_gap(step)]

    @property
    def own(self) -> list[Step]:
        """The steps that made this model, the nearest first: those of a parent come later, those of a teacher never."""
        return [self.steps[key] for key in _nearest(self.steps, self.first.key, {TEACHER})]

    def of_stage(self, stage: str) -> list[Step]:
        return [step for step in self.steps.values() if step.stage == stage]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        steps = {key: asdict(step) | {"what": step.what} for key, step in self.steps.items()}
        return {"model": self.model, "versions": list(self.versions), "missing": self.missing, "steps": steps}


def chain_of(index: Index, model: str) -> Chain:
    """Walks the chain behind `models:/NAME@ALIAS`, `models:/NAME/VERSION` or a folder of exported files.

    Raises:
        GraftError: There is no such model.
    """
    if is_address(model):
        version = version_named(index, model)
        digest, record = version["model"], version["record"] or ""
        record = record if index.has_record(record) else _maker(index, EXPORTED, digest)
    else:
        digest, record = _digest_of_folder(index, Path(model))
    return chain_to(index, digest, record)


def chain_to(index: Index, digest: str, record: str | None = None) -> Chain:
    """Walks the chain behind exported files of a digest, from the record given or else from one that made them."""
    steps: dict[str, Step] = {}
    _walk(index, record or _maker(index, EXPORTED, digest), {EXPORTED: digest}, steps)
    versions = tuple(version for version in index.versions() if version["model"] == digest)
    return Chain(digest, versions, steps)


def own_records(index: Index, chain: Chain) -> dict[str, Record]:
    """The record of each stage of this model, in the order they run in, without those of its parents and teachers."""
    found: dict[str, Record] = {}
    for step in chain.own:
        if (record := index.record(step.key)) is not None:
            found.setdefault(record.stage, record)
    return {stage: found[stage] for stage in in_order(found)}


def version_named(index: Index, uri: str) -> dict[str, Any]:
    """The registered version of an address.

    Raises:
        GraftError: There is no such model, version or alias.
    """
    address = ModelAddress.parse(uri)
    number = address.number if address.alias is None else index.number_behind(address.name, address.alias)
    version = None if number is None else index.version(address.name, number)
    if version is None:
        known = [str(ModelAddress(found["name"], found["number"])) for found in index.versions()]
        known_text = f"known are {', '.join(known[-8:])}" if known else "nothing is registered: graft publish"
        raise GraftError("no such model", where=uri, remedy=f"{known_text}; --refresh reads the server again")
    return version


def _digest_of_folder(index: Index, folder: Path) -> tuple[str, str]:
    if not folder.is_dir():
        raise GraftError("no such folder", where=folder, remedy="name one, or models:/NAME@ALIAS, or models:/NAME/1")
    digest = digest_of(folder)
    record = _maker(index, EXPORTED, digest)
    if record == digest:
        raise GraftError(
            "no record describes these files",
            where=folder,
            rule="the digest of a model is what its record says",
            remedy="dvc repro export makes both; graft lineage --refresh reads the records of the server",
        )
    return digest, record


def _walk(index: Index, key: str, made: Mapping[str, str], steps: dict[str, Step], model: str = "") -> str:
    """Adds the step of a record and all behind it; returns its key. `model` is the key of its model's first step."""
    if key in steps:
        return key
    record = index.record(key)
    if record is None:
        steps[key] = Step(key, "missing", dict(made), {"reason": "no record in the workspace or on the server"})
        return key
    steps[key] = Step(key, record.stage, dict(record.outputs))  # holds the place, so that parents come first
    links = _links(index, key, record, steps, model or key)
    links += _ends(index, key, record, steps)
    steps[key] = Step(key, record.stage, dict(record.outputs), _facts(index, key, record), tuple(links))
    return key


def _links(index: Index, key: str, record: Record, steps: dict[str, Step], model: str) -> list[Link]:
    """The links to the makers of the inputs of a record, in the order a person reads them.

    A class map, or a split that stayed as it was, is the same in many runs. Of several records that made such an input,
    the one that made most of the other inputs did; among equals, the nearest that made something else of this model. So
    inputs with one maker are followed before those with several.
    """
    grouped: dict[str, dict[str, str]] = {}
    several: dict[str, list[str]] = {}
    read = {} if is_ingest(record.stage) else {path: sha for path, sha in record.inputs.items() if path != NO_MODEL}
    made = Counter(maker for path, digest in read.items() for maker in _makers(index, path, digest))
    for path, digest in sorted(read.items()):
        makers = _makers(index, path, digest)
        best = [maker for maker in makers if made[maker] == max(made[one] for one in makers)] or [digest]
        if len(best) == 1:
            grouped.setdefault(best[0], {})[path] = digest
        else:
            several[path] = best
    for maker in _in_order(index, grouped):
        steps[key] = replace(steps[key], links=(*steps[key].links, Link(maker, grouped[maker])))
        _walk(index, maker, grouped[maker], steps, model)
    near = _nearest(steps, model, {WEIGHTS, TEACHER})
    for path, makers in several.items():
        maker = next((one for one in near if one in makers), None) or _one_of(index, makers)
        grouped.setdefault(maker, {})[path] = read[path]
    read_from = [(maker, grouped[maker]) for maker in _in_order(index, grouped)]
    return [Link(_walk(index, maker, paths, steps, model), paths) for maker, paths in read_from]


def _nearest(steps: Mapping[str, Step], first: str, roles: Set[str]) -> list[str]:
    """The keys of the steps behind the first, the nearest first, without links in which a file plays one of `roles`."""
    nearest = [first]
    for key in nearest:  # grows during the loop
        links = [link for link in steps[key].links if not roles & link.paths.keys()]
        nearest += [link.to for link in links if link.to not in nearest]
    return nearest


def _maker(index: Index, path: str, digest: str) -> str:
    """The record that made these bytes at this path; the digest where none did."""
    makers = _makers(index, path, digest)
    return _one_of(index, makers) if makers else digest


def _one_of(index: Index, makers: Iterable[str]) -> str:
    """One of several records that made the same, always the same one, with a run if any has."""
    return min(makers, key=lambda maker: (index.run_of(maker) is None, maker))


def _makers(index: Index, path: str, digest: str) -> list[str]:
    return [record for record, made in index.producers(digest) if made == posixpath.normpath(path)]


def _in_order(index: Index, records: Iterable[str]) -> list[str]:
    return sorted(records, key=lambda record: (_rank(index, record), record))


def _rank(index: Index, record: str) -> int:
    known = index.record(record)
    stage = None if known is None else INGEST if is_ingest(known.stage) else known.stage
    return ORDER.index(stage) if stage in ORDER else len(ORDER)


def _ends(index: Index, key: str, record: Record, steps: dict[str, Step]) -> Iterable[Link]:
    """The ends of a chain: raw files, and files of weights, pretrained or a teacher's (perhaps of a model of ours)."""
    if is_ingest(record.stage):
        for path, digest in record.inputs.items():
            facts = {"images": record.metrics.get("num_images"), "delivery": ingest_section(record)["batch"]}
            steps.setdefault(digest, Step(digest, "raw", {path: digest}, facts))
            yield Link(digest, {path: digest})
    if record.stage == "pretrain-load":
        card = (index.card_of(key) or {}) | {"name": weights_source(record.params)["name"]}
        source = card.get("sha256") or f"no file: {card['name']}"
        facts = {name: card.get(name) for name in ("name", "description", "origin", "licence", "sha256")}
        yield _of_weights(index, steps, WEIGHTS, source, facts)
    for teacher in record.teachers:
        facts = {"name": TEACHER, "origin": teacher["model"], "sha256": teacher["sha256"]}
        yield _of_weights(index, steps, TEACHER, teacher["sha256"], facts)


def _of_weights(index: Index, steps: dict[str, Step], role: str, digest: str, facts: dict[str, Any]) -> Link:
    """The link to the record of the model of ours that these weights are of, or to an end that only states facts.

    An export leaves the weights of a fine-tune as they are; then it is the export, whose chain holds the fine-tune too.
    """
    ours = [maker for maker, path in index.producers(digest) if is_within(path, FINE_TUNED, EXPORTED)]
    if ours:
        return Link(_walk(index, _in_order(index, ours)[-1], {role: digest}, steps), {role: digest})
    steps.setdefault(digest, Step(digest, "source", {facts["name"]: digest}, facts))
    return Link(digest, {facts["name"]: digest})


def _facts(index: Index, key: str, record: Record) -> dict[str, Any]:
    facts = {
        "record": key,
        "run": index.run_of(key),
        "commit": record.git.commit,
        "commit_holds_code_and_params": record.git.holds_code_and_params,
        "fingerprint": record.fingerprint,
        "params": record.params,
        "environment": record.environment,
        "metrics": record.metrics,
        "files": record.files,
    }
    return facts | ({"seen": index.num_seen(key)} if record.stage == "fine-tune" else {})


def _is_gap(step: Step) -> bool:
    return step.stage == "missing"
