"""The freezing of a test set: a version's test split takes its place, or test images of new deliveries join it."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from graft.foundation.class_map import ClassMap
from graft.foundation.errors import GraftError
from graft.models.address import CANDIDATE, ModelAddress
from graft.provenance.promotion import ledger, move
from graft.provenance.promotion.evidence import Gathering, propose, scored_split
from graft.provenance.promotion.frozen_images import find_images
from graft.provenance.promotion.frozen_test_set import (
    FrozenImage,
    FrozenTestSet,
    add_parts,
    fetch_list,
    find_in_force,
    list_by_delivery,
    publish_list,
)
from graft.provenance.promotion.ledger import LedgerEntry
from graft.provenance.promotion.promote import find_judged
from graft.provenance.stages import CLASS_MAP, MANIFEST
from graft.provenance.tracking import mlflow_store, registry

if TYPE_CHECKING:
    from graft.params.sections import Params
    from graft.provenance.tracking.mlflow_store import MlflowClient

MEASURED = "measured"


@dataclass(frozen=True)
class Frozen:
    """The result of freezing.

    Attributes:
        test_set: Test set in force now.
        entry: Entry in the ledger; None where this test set was in force already.
    """

    test_set: FrozenTestSet
    entry: LedgerEntry | None


def freeze(
    store: MlflowClient,
    name: str,
    params: Params,
    *,
    reason: str,
    number: int | None = None,
    set_name: str | None = None,
) -> Frozen:
    """Freezes the test split of a version, and scores the champion on it.

    Args:
        store: Client of the server.
        name: Name of the registered model.
        params: Params, with how models are scored.
        reason: Reason to record.
        number: Number of the version; by default the one that `candidate` points at.
        set_name: Name of the test set; by default that of the one before.

    Raises:
        ledger.Unsigned: The ledger is signed, and no key is configured: nothing was changed.
        GraftError: There is no such version, its test split is not here, or the version or the champion has seen an
            image of it: nothing was changed.
    """
    entries = move.settle(store, name)
    ledger.refuse_unsigned(name, entries)
    version, before = find_judged(store, name, number), find_in_force(entries)
    with tempfile.TemporaryDirectory(prefix="graft-") as folder:
        gathering = Gathering(store, version, entries, params, Path(folder))
        chain = gathering.trace(version)
        stated, images = propose(chain, scored_split(chain), before, set_name)
        if before and before.digest == stated.digest and set_name in (None, before.name):
            return Frozen(before, None)
        return _write(gathering, stated, images, reason)


def freeze_parts(
    store: MlflowClient, name: str, params: Params, number: int, deliveries: Collection[str]
) -> Frozen | None:
    """Adds the test images of deliveries to the test set in force, and scores the champion on the whole.

    Parts that are there stay as they are. Called again, it adds nothing.

    Args:
        store: Client of the server.
        name: Name of the registered model.
        params: Params, with how models are scored.
        number: Number of the version that knows the deliveries, whose data this workspace holds.
        deliveries: Names of the deliveries.

    Returns:
        The test set in force now; None where there is none yet, which the first promotion freezes.

    Raises:
        ledger.Unsigned: The ledger is signed, and no key is configured: nothing was changed.
        GraftError: As `freeze`, or the images in force have other masks here than when they were frozen.
    """
    entries = move.settle(store, name)
    ledger.refuse_unsigned(name, entries)
    version, before = find_judged(store, name, number), find_in_force(entries)
    if before is None:
        return None
    with tempfile.TemporaryDirectory(prefix="graft-") as folder:
        gathering = Gathering(store, version, entries, params, Path(folder))
        older = fetch_list(store, before, gathering.place("list"))
        added = list_new(deliveries, older, before)
        if not added:
            return Frozen(before, None)
        chain, images = gathering.trace(version), sorted({*older, *itertools.chain.from_iterable(added.values())})
        stated, _ = propose(chain, scored_split(chain), before, None, images)
        reason = f"the test images of {', '.join(added)} join it"
        return _write(gathering, add_parts(stated, before, added), images, reason, added.values())


def list_new(
    deliveries: Collection[str], older: Sequence[FrozenImage], before: FrozenTestSet
) -> dict[str, list[FrozenImage]]:
    """Lists the test images that each delivery adds to the test set; an image that several have is that of the first.

    Raises:
        GraftError: An image that the test set holds is not here with the same target.
    """
    listed = list_by_delivery(Path(MANIFEST), ClassMap.read(Path(CLASS_MAP)).names)
    here = {(image.image, image.target) for images in listed.values() for image in images}
    if lacking := sum((image.image, image.target) not in here for image in older):
        raise GraftError(
            f"{lacking} of the {len(older)} images of {before} are not in {MANIFEST} as they were frozen",
            rule="a part is added to images that stay as they are",
            remedy="restore them, or replace the whole test set: graft freeze --reason WHY",
        )
    held, added = {image.image for image in older}, {}
    for name in deliveries:
        if new := [image for image in listed.get(name, ()) if image.image not in held]:
            added[name] = new
            held |= {image.image for image in new}
    return added


def _write(
    gathering: Gathering,
    stated: FrozenTestSet,
    images: list[FrozenImage],
    reason: str,
    added: Collection[Sequence[FrozenImage]] = (),
) -> Frozen:
    """Puts a test set in force: the champion is scored on it, its list published, its entry appended.

    Args:
        gathering: Gathering about the version that the test set is taken from.
        stated: The test set.
        images: Its images.
        reason: Reason to record.
        added: Images of each part that is new, its last ones; the lists of older parts are on the server.
    """
    store, name = gathering.store, gathering.version.name
    _refuse_seen(gathering, images)
    rules = tuple(_score_champion(gathering, stated, images))
    publish_list(store, images, stated, gathering.folder)
    for part, listed in zip(stated.parts[len(stated.parts) - len(added) :], added, strict=True):
        publish_list(store, listed, part, gathering.folder)
    written = ledger.append(store, name, _entry(gathering, stated, rules, reason))
    move.write_copy(move.read_whole(store, name))
    return Frozen(stated, written)


def _entry(gathering: Gathering, stated: FrozenTestSet, rules: tuple[dict[str, str], ...], reason: str) -> LedgerEntry:
    """The entry that freezes a test set, to follow those that were read."""
    version, standing = gathering.version, gathering.standing
    return LedgerEntry(
        kind="freeze",
        phase="frozen",
        name=version.name,
        version=int(version.version),
        model_digest=version.tags[mlflow_store.MODEL_DIGEST],
        previous_version=standing.version if standing else None,
        reason=reason,
        rules=rules,
        author=move.author(),
        time=move.now(),
        follows=gathering.entries[-1].digest if gathering.entries else "",
        test_set=stated.as_dict(),
    )


def _refuse_seen(gathering: Gathering, images: list[FrozenImage]) -> None:
    """Refuses a test set of which the version, or the champion, has seen an image."""
    numbers = {int(gathering.version.version)} | ({gathering.standing.version} if gathering.standing else set())
    for number in sorted(numbers):
        version = registry.find_version(gathering.store, ModelAddress(gathering.version.name, number))
        leakage = gathering.find_leakage(gathering.trace(version), images) if version else None
        if leakage and leakage.seen:
            raise GraftError(
                f"version {number} was trained or chosen on images of this split: {leakage.seen}",
                where=gathering.version.name,
                rule="nobody may have learned from an image of a test set",
                remedy="keep ingest.split_seed as it was when the champion was made, or freeze a split of new images",
            )


def _score_champion(gathering: Gathering, stated: FrozenTestSet, images: list[FrozenImage]) -> Iterator[dict[str, str]]:
    """Scores the champion on the new test set, as rows for the table of the entry."""
    from graft.provenance.promotion.measurement import compare

    standing = gathering.standing
    if standing is None:
        return
    folder = gathering.place(CANDIDATE)
    model = move.download_verified(gathering.version.name, standing.version, standing.promoted.model_digest, folder)
    found = compare(model, None, find_images(stated, images, gathering.place("cached")), gathering.params)
    score = found.models[CANDIDATE].score
    yield {
        "rule": f"{found.headline.replace('_', ' ').replace('iou', 'IoU')} of the champion, version {standing.version}",
        "value": "undefined" if score is None else f"{score:.4f}",
        "bound": f"≥ {gathering.params.promotion.min_score:g}",
        "verdict": MEASURED,
    }
