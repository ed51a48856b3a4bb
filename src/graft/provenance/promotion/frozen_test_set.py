"""The frozen test set of a registered model: a versioned list of images and targets that every champion is scored on.

The ledger holds its digest and size, and who froze it; the list itself is a file on the server, found by that digest.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from graft.foundation.content import content_digest, replace_file, write_json
from graft.foundation.errors import GraftError
from graft.provenance.tracking import mlflow_store, runs

if TYPE_CHECKING:
    from graft.provenance.promotion.ledger import LedgerEntry
    from graft.provenance.tracking.mlflow_store import MlflowClient

TEST_SPLIT = "test"
LIST_TAG, LIST_FILE = "graft.test_set", "test_set.json"
COLUMNS = ("split", "batch", "image_sha256", "mask_sha256", "label", "phash")


class FrozenImage(NamedTuple):
    """An image of a test set.

    Attributes:
        image: sha256 of its file.
        target: sha256 of its mask, or the name of its class.
        phash: Perceptual hash, 16 hexadecimal digits; empty where there is none.
    """

    image: str
    target: str
    phash: str


@dataclass(frozen=True)
class TestPart:
    """A named part of a test set: the test images of a delivery.

    Attributes:
        name: Name of the delivery; for the first part, the name of the test set that was added to.
        num_images: Number of images.
        digest: Content digest of the list of its images.
    """

    name: str
    num_images: int
    digest: str

    def __str__(self) -> str:
        return f"test part {self.name} ({self.num_images} images, {self.digest[:12]})"


@dataclass(frozen=True)
class FrozenTestSet:
    """A test set as its entry in the ledger states it.

    Attributes:
        name: Name that a person gave it.
        version: Number of the test set of this registered model, from 1.
        digest: Content digest of the list of images.
        num_images: Number of images.
        split_seed: Value of `ingest.split_seed` that drew the split.
        interim_md5: MD5 under which DVC keeps the shards that hold the images.
        class_names: Names of the classes, in order of the ids in the masks.
        parts: Parts that it was put together from, in the order in which they came; none where it is of one piece.
    """

    name: str
    version: int
    digest: str
    num_images: int
    split_seed: int
    interim_md5: str
    class_names: tuple[str, ...]
    parts: tuple[TestPart, ...] = ()

    def __str__(self) -> str:
        return f"test set {self.version} ({self.name}, {self.num_images} images, {self.digest[:12]})"

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the ledger."""
        plain = asdict(self) | {"class_names": list(self.class_names), "parts": [asdict(part) for part in self.parts]}
        return {key: value for key, value in plain.items() if (key, value) != ("parts", [])}

    @classmethod
    def of(cls, stated: Mapping[str, Any]) -> FrozenTestSet:
        """The test set in an entry of the ledger."""
        known = {field.name: stated[field.name] for field in fields(cls) if field.name != "parts"}
        parts = tuple(TestPart(**part) for part in stated.get("parts", ()))
        return cls(**known | {"class_names": tuple(stated["class_names"]), "parts": parts})


def find_in_force(entries: Sequence[LedgerEntry]) -> FrozenTestSet | None:
    """The test set that promotions are judged on: the one frozen last, by `graft freeze` or the first promotion."""
    found = None
    for entry, ending in pairwise([*entries, None]):
        is_in_force = entry is not None and (entry.phase == "frozen" or (ending and ending.phase == "confirmed"))
        if entry is not None and entry.test_set is not None and is_in_force:
            found = FrozenTestSet.of(entry.test_set)
    return found


def list_images(manifest: Path, class_names: Sequence[str], split: str = TEST_SPLIT) -> list[FrozenImage]:
    """Lists the labelled images of a split, each once, in order of digest.

    Args:
        manifest: File `manifest.parquet` of ingest.
        class_names: Names of the classes, in order of the labels in the manifest.
        split: Name of the split.
    """
    return sorted(set(chain.from_iterable(list_by_delivery(manifest, class_names, split).values())))


def list_by_delivery(
    manifest: Path, class_names: Sequence[str], split: str = TEST_SPLIT
) -> dict[str, list[FrozenImage]]:
    """Lists the labelled images of a split as `list_images` does, by the delivery that brought them."""
    import pyarrow.parquet as pq

    columns = pq.read_table(manifest, columns=list(COLUMNS)).to_pydict()
    found: dict[str, set[FrozenImage]] = {}
    for where, delivery, image, mask, label, phash in zip(*(columns[name] for name in COLUMNS), strict=True):
        if where == split and (mask is not None or label is not None):
            listed = FrozenImage(image, target_of(mask, label, class_names), phash or "")
            found.setdefault(delivery, set()).add(listed)
    return {delivery: sorted(images) for delivery, images in found.items()}


def target_of(mask_sha256: str | None, label: int | None, class_names: Sequence[str]) -> str:
    """Names a target in a way that does not depend on the order of the classes of a label."""
    return mask_sha256 if mask_sha256 is not None else class_names[label or 0]


def freeze_images(
    images: Sequence[FrozenImage],
    before: FrozenTestSet | None,
    *,
    name: str | None,
    split_seed: int,
    interim_md5: str,
    class_names: Sequence[str],
) -> FrozenTestSet:
    """States a list of images as the next test set of a registered model, under the name of the one before if any."""
    return FrozenTestSet(
        name=name or (before.name if before else TEST_SPLIT),
        version=before.version + 1 if before else 1,
        digest=_digest_of(images),
        num_images=len(images),
        split_seed=split_seed,
        interim_md5=interim_md5,
        class_names=tuple(class_names),
    )


def add_parts(whole: FrozenTestSet, before: FrozenTestSet, added: Mapping[str, Sequence[FrozenImage]]) -> FrozenTestSet:
    """States which parts a test set was put together from: those of the one before as they are, then those added.

    Args:
        whole: Test set with the images of all parts.
        before: Test set that was added to.
        added: Images of each new part, by its name.
    """
    older = before.parts or (TestPart(before.name, before.num_images, before.digest),)
    new = (TestPart(name, len(images), _digest_of(images)) for name, images in added.items())
    return replace(whole, parts=(*older, *new))


def _digest_of(images: Sequence[FrozenImage]) -> str:
    return content_digest([list(image) for image in images])


def publish_list(
    store: MlflowClient, images: Sequence[FrozenImage], stated: FrozenTestSet | TestPart, folder: Path
) -> None:
    """Puts the list of a test set, or of a part, on the server, in a run of its own, unless it is there."""
    with mlflow_store.explain_refusals():
        if runs.find_run(store, {LIST_TAG: stated.digest}):
            return
        path = folder / LIST_FILE
        with replace_file(path) as pending:
            write_json(pending, [list(image) for image in images])
        note = f"The images of {stated}. Every champion is scored on them; do not delete this run."
        run = runs.create_run(store, f"test set {stated.name}", {mlflow_store.NOTE: note})
        store.log_artifact(run.info.run_id, str(path))
        store.set_terminated(run.info.run_id)
        runs.tag(store, run.info.run_id, {LIST_TAG: stated.digest})


def fetch_list(store: MlflowClient, stated: FrozenTestSet | TestPart, folder: Path) -> list[FrozenImage]:
    """Fetches the list of a test set, or of a part, from the server, and compares it with the digest in the ledger.

    Raises:
        GraftError: It is not there, or was changed.
    """
    what, rule = f"the list of {stated}", "every champion is scored on the images that the ledger froze"
    for listed in read_lists(store, stated, folder):
        if content_digest(listed) == stated.digest:
            return [FrozenImage(*image) for image in listed]
    remedy = "restore the deleted run on the server, or freeze a test set anew: graft freeze --reason WHY"
    raise GraftError(
        f"{what} is not on the server, or was changed", where=mlflow_store.store_uri(), rule=rule, remedy=remedy
    )


def has_list(store: MlflowClient, stated: FrozenTestSet | TestPart) -> bool:
    """Tells whether the server has a run for the list of a test set, or of a part."""
    return next(iter(runs.search_runs(store, {LIST_TAG: stated.digest})), None) is not None


def read_lists(store: MlflowClient, stated: FrozenTestSet | TestPart, folder: Path) -> Iterator[list[Any]]:
    """Yields what the server holds as the list of a test set, or of a part, whether it was changed or not."""
    for run in runs.search_runs(store, {LIST_TAG: stated.digest}):
        path = runs.fetch_artifact(store, run, LIST_FILE, folder)
        with contextlib.suppress(ValueError):  # it was changed to what is no JSON
            listed = None if path is None else json.loads(path.read_bytes())
            if isinstance(listed, list):
                yield listed
