"""The images of a frozen test set, wherever they lie: in the shards of this workspace, or in DVC's cache or remote."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from graft.data.deliveries import renumber
from graft.data.shards import Row, read_columns, read_rows
from graft.foundation.class_map import SPLITS, ClassMap
from graft.foundation.errors import GraftError
from graft.provenance.dvc_cache import DvcStorage
from graft.provenance.promotion.frozen_test_set import FrozenImage, FrozenTestSet, target_of
from graft.provenance.stages import CLASS_MAP, INTERIM

Key = tuple[str, str]  # digest of an image, and its target


@dataclass(frozen=True)
class FrozenImages:
    """Rows of shards that hold the images of a test set.

    Attributes:
        places: Folders of shards, each with the numbers of its rows.
        class_names: Names of the classes, in order of the ids that masks and labels hold.
    """

    places: tuple[tuple[Path, frozenset[int]], ...]
    class_names: tuple[str, ...]
    have_several_labels: bool = False

    def __len__(self) -> int:
        return sum(len(numbers) for _, numbers in self.places)

    def rows(self, class_names: Sequence[str] | None = None) -> Iterator[Row]:
        """Reads the rows, and compares the bytes of each with its digests.

        Args:
            class_names: Names of the classes in the order of the ids wanted: pixels of other classes are ignored, and
                images labelled as one are left out. By default the ids stay.

        Raises:
            GraftError: A shard is damaged, or its bytes are not those that their digests say.
        """
        wanted = tuple(class_names or self.class_names)
        ids = {place: wanted.index(name) for place, name in enumerate(self.class_names) if name in wanted}
        for folder, numbers in self.places:
            for row in read_rows(folder, numbers):
                _verify(row, folder)
                num_labels = len(wanted) if self.have_several_labels else None
                translated = row if wanted == self.class_names else renumber(row, ids, num_labels)
                if translated is not None:
                    yield translated


def find_images(stated: FrozenTestSet, images: Iterable[FrozenImage], folder: Path) -> FrozenImages:
    """Finds the rows of a test set in `data/interim`, else among the shards that DVC keeps of when it was frozen.

    Args:
        stated: The test set.
        images: Its images.
        folder: Empty folder, for links to the files in DVC's cache.

    Raises:
        GraftError: Some images are in neither; the message says how to bring them.
    """
    wanted = {(image.image, image.target) for image in images}
    found = _find_rows(Path(INTERIM), wanted, stated)
    if found is None:
        found = _find_rows(_link_cached(stated, folder), wanted, stated)
    if found is None:
        raise GraftError(
            f"the images of {stated} are neither in {INTERIM} nor in DVC's cache",
            rule="candidate and champion are scored on exactly the images that were frozen",
            remedy=f"dvc fetch --all-commits {INTERIM}, after whoever froze them has run dvc push",
        )
    return found


def _find_rows(interim: Path, wanted: set[Key], stated: FrozenTestSet) -> FrozenImages | None:
    """Finds one row for every key; None where one is missing, or the masks have other classes."""
    class_map = interim / Path(CLASS_MAP).name
    if not class_map.is_file():
        return None
    classes = ClassMap.read(class_map)
    if classes.task != "classification" and classes.names != stated.class_names:
        return None
    missing, places = set(wanted), []
    for split in reversed(SPLITS):  # test comes last
        numbers = set()
        for number, key in enumerate(_keys(interim / split, classes.names)):
            if key in missing:
                missing.remove(key)
                numbers.add(number)
        if numbers:
            places.append((interim / split, frozenset(numbers)))
    return None if missing else FrozenImages(tuple(places), classes.names, classes.task == "multilabel")


def _keys(folder: Path, class_names: Sequence[str]) -> Iterator[Key]:
    if not folder.is_dir():
        return
    for image, mask, label in read_columns(folder, ("image_sha256", "mask_sha256", "label")):
        if mask is not None or label is not None:
            yield image, target_of(mask, label, class_names)
        else:
            yield image, ""


def _link_cached(stated: FrozenTestSet, folder: Path) -> Path:
    """Links the files of `data/interim` as DVC keeps them from when the test set was frozen into a folder."""
    for name, path in DvcStorage().paths({INTERIM: stated.interim_md5}, INTERIM).items():
        link = folder / Path(name).relative_to(INTERIM)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    return folder


def _verify(row: Row, folder: Path) -> None:
    pairs = ((row.image, row.image_sha256), (row.mask, row.mask_sha256))
    if any(data is not None and hashlib.sha256(data).hexdigest() != digest for data, digest in pairs):
        raise GraftError(f"{row.id} was changed", where=folder, remedy="dvc checkout brings the shards back")
