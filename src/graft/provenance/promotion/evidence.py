"""The evidence that a gate judges: the records behind a version, the test set, and both models measured on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from graft.foundation.class_map import ClassMap
from graft.foundation.content import digest_of
from graft.foundation.errors import GraftError
from graft.models.address import CANDIDATE, CHAMPION, ModelAddress
from graft.provenance.dvc_cache import md5_in_workspace
from graft.provenance.promotion import frozen_test_set, history, move
from graft.provenance.promotion.frozen_images import FrozenImages, find_images
from graft.provenance.promotion.frozen_test_set import TEST_SPLIT, FrozenImage, FrozenTestSet
from graft.provenance.promotion.leakage import Leakage, find_leakage
from graft.provenance.promotion.record_chain import RecordChain, fetch_output, trace_records
from graft.provenance.raw_listing import split_seed_of
from graft.provenance.stages import CLASS_MAP, INGEST, INTERIM, MANIFEST
from graft.provenance.tracking import mlflow_store, registry

if TYPE_CHECKING:
    from graft.evaluation.scores import ScoredImage
    from graft.params.sections import Params
    from graft.provenance.promotion.ledger import LedgerEntry
    from graft.provenance.promotion.measurement import Comparison
    from graft.provenance.tracking.mlflow_store import MlflowClient
    from graft.provenance.tracking.registry import ModelVersion


@dataclass(frozen=True)
class GateEvidence:
    """All that the gate judges.

    Attributes:
        chain: Records behind the candidate.
        commits: For each stage, a commit that holds what it ran with, or None and what the nearest commit lacks.
        problem: Sentence that says why the candidate cannot be scored on the test set; empty where it can.
        test_set: Test set, the frozen one or the one that this promotion would freeze; None where there is none.
        leakage: Images of the test set that each model knows, by `candidate` and `champion`.
        comparison: Measurements of both models; None where `problem` says why there are none.
        own_by_class: Score of each class on the candidate's own test split, where it has classes that the champion
            lacks.
        candidate: Exported folder of the candidate.
        has_champion: Whether there is a champion to compare with.
        images: Images of the test set.
    """

    chain: RecordChain
    commits: Mapping[str, tuple[str | None, list[str]]]
    problem: str
    test_set: FrozenTestSet | None
    leakage: Mapping[str, Leakage]
    comparison: Comparison | None
    own_by_class: Mapping[str, float | None]
    candidate: Path
    has_champion: bool
    images: Sequence[FrozenImage] = ()


@dataclass(frozen=True)
class Gathering:
    """The work of gathering evidence about one version.

    Attributes:
        store: Client of the server.
        version: Version to be judged.
        entries: Entries of the ledger.
        params: Params, with the rules of the gate and how models are scored.
        folder: Empty folder for downloads.
    """

    store: MlflowClient
    version: ModelVersion
    entries: Sequence[LedgerEntry]
    params: Params
    folder: Path

    @property
    def standing(self) -> history.Champion | None:
        """The champion in force."""
        return history.champion(self.entries)

    def place(self, name: str) -> Path:
        """A folder of its own for downloads."""
        path = self.folder / name
        path.mkdir(exist_ok=True)
        return path

    def evidence(
        self,
        chain: RecordChain,
        commits: Mapping[str, tuple[str | None, list[str]]],
        watch: Callable[[ScoredImage], None],
    ) -> GateEvidence:
        """Downloads, verifies and measures both models; a champion whose files are lost or changed is not compared.

        Args:
            chain: Records behind the candidate.
            commits: For each stage, a commit that holds what it ran with.
            watch: Function that is shown every image with the predictions of both.
        """
        name, number = self.version.name, int(self.version.version)
        digest = self.version.tags.get(mlflow_store.MODEL_DIGEST, "unknown")
        candidate = move.download_verified(name, number, digest, self.place(CANDIDATE))
        found = GateEvidence(chain, commits, "", None, {}, None, {}, candidate, self.standing is not None)
        try:
            stated, listed = self.find_test_set(chain)
            self.refuse_fewer(chain, ClassMap.read(candidate / "class_map.json").names, stated, listed)
            images = find_images(stated, listed, self.place("cached"))
            found = replace(found, test_set=stated, images=listed, leakage=self._leakage(chain, listed))
        except GraftError as error:
            return replace(found, problem=f"{error.what}: {error.remedy}" if error.remedy else error.what)
        comparison, own_by_class = self._measure(candidate, images, watch)
        return replace(found, comparison=comparison, own_by_class=own_by_class)

    def find_test_set(self, chain: RecordChain) -> tuple[FrozenTestSet, list[FrozenImage]]:
        """Finds the test set in force and its images; before the first, the test split of the version.

        Raises:
            GraftError: The version was scored on another split, or the list or the split is not there.
        """
        split = scored_split(chain)
        stated = frozen_test_set.find_in_force(self.entries)
        if stated is None:
            return propose(chain, split, None, None)
        return stated, frozen_test_set.fetch_list(self.store, stated, self.place("list"))

    def refuse_fewer(
        self, chain: RecordChain, class_names: Sequence[str], stated: FrozenTestSet, images: Sequence[FrozenImage]
    ) -> None:
        """Refuses a version whose own test split lacks images of the test set: they may have moved into training."""
        manifest = fetch_output(self.store, chain, MANIFEST, self.place("manifest"))
        if manifest is None:
            raise GraftError(f"not known: the server does not hold {MANIFEST}", remedy="dvc pull, then graft publish")
        held = {image.image for image in frozen_test_set.list_images(manifest, class_names)}
        if lacking := [image for image in images if image.image not in held]:
            raise GraftError(
                f"its own test split lacks {len(lacking)} of the {len(images)} images of {stated}",
                remedy="keep ingest.split_seed and these images, or graft freeze --reason WHY",
            )

    def _measure(
        self, candidate: Path, images: FrozenImages, watch: Callable[[ScoredImage], None]
    ) -> tuple[Comparison, dict[str, float | None]]:
        """Measures both models on the test set, and on its own test split the classes that only the candidate has."""
        from graft.provenance.promotion.measurement import compare, score_classes

        champion, lost = None, ""
        if self.standing:
            try:
                promoted = self.standing.promoted
                champion = move.download_verified(
                    self.version.name, promoted.version, promoted.model_digest, self.place(CHAMPION)
                )
            except GraftError as error:
                lost = f"the champion cannot be fetched: {error.what}"
        comparison = compare(candidate, champion, images, self.params, watch)
        names = ClassMap.read(candidate / "class_map.json").names
        grown = set(names) - set(comparison.class_names)
        own = score_classes(candidate, Path(INTERIM) / TEST_SPLIT, self.params, grown) if grown else {}
        return replace(comparison, not_comparable=lost or comparison.not_comparable), own

    def _leakage(self, chain: RecordChain, images: Sequence[FrozenImage]) -> dict[str, Leakage]:
        known = {CANDIDATE: self.find_leakage(chain, images)}
        standing = self.standing
        version = (
            registry.find_version(self.store, ModelAddress(self.version.name, standing.version)) if standing else None
        )
        if version:
            known[CHAMPION] = self.find_leakage(self.trace(version), images)
        return known

    def trace(self, version: ModelVersion) -> RecordChain:
        """Traces the records behind a version."""
        return trace_records(self.store, version, self.place(f"records of version {version.version}"))

    def find_leakage(self, chain: RecordChain, images: Sequence[FrozenImage]) -> Leakage:
        """Compares a test set with what a model was trained on and chosen by."""
        max_bits = self.params.validate_.near_duplicate_bits
        return find_leakage(self.store, chain, images, max_bits, self.place("seen"))


def scored_split(chain: RecordChain) -> str:
    """The split that a version was scored on.

    Raises:
        GraftError: It is not known, or it is the one that chose the best epoch.
    """
    record = chain.records.get("export")
    if record is None:
        raise GraftError("not known: there is no record of export")
    split = str(record.params["evaluate"]["split"])
    if split != TEST_SPLIT:
        raise GraftError(
            f"this version was scored on {split}, which chose its best epoch",
            remedy=f"set evaluate.split: {TEST_SPLIT}, dvc repro",
        )
    return split


def propose(
    chain: RecordChain,
    split: str,
    before: FrozenTestSet | None,
    name: str | None,
    images: list[FrozenImage] | None = None,
) -> tuple[FrozenTestSet, list[FrozenImage]]:
    """Proposes the split that a version was scored on, or some of its images, as the next test set.

    Args:
        chain: Records behind the version.
        split: Name of the split.
        before: Test set in force; None before the first.
        name: Name of the test set; by default that of the one before.
        images: Images to freeze; by default all that are labelled.

    Raises:
        GraftError: The split in this workspace is not the version's.
    """
    export, ingest = chain.records["export"], chain.records.get(INGEST)
    expected = {path: export.inputs.get(path) for path in (f"{INTERIM}/{split}", CLASS_MAP)}
    holders = (record for record in chain.records.values() if MANIFEST in record.files)
    expected[MANIFEST] = next((record.files[MANIFEST] for record in holders), None)
    for path, digest in expected.items():
        if not Path(path).exists():
            raise GraftError(f"{path} is not here", remedy="git checkout the commit, then dvc pull or dvc checkout")
        if digest_of(Path(path)) != digest:
            raise GraftError(f"{path} is not that of this version", remedy="dvc checkout")
    if images is None:
        images = frozen_test_set.list_images(Path(MANIFEST), ClassMap.read(Path(CLASS_MAP)).names, split)
    stated = frozen_test_set.freeze_images(
        images,
        before,
        name=name,
        split_seed=split_seed_of(ingest) if ingest else 0,
        interim_md5=md5_in_workspace(Path(INTERIM)) or "",
        class_names=ClassMap.read(Path(CLASS_MAP)).names,
    )
    return stated, images
