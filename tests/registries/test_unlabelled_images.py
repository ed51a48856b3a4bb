"""Images without masks or labels: where sources find them, and what becomes of them on the way to weak views."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.data.formats import FORMATS
from graft.data.formats.listing import Listing
from graft.data.formats.unlabelled_images import add_unlabelled
from graft.data.shards import num_rows
from graft.data.views.view import UNLABELLED_VIEWS, open_views
from graft.foundation.choices import resolve
from graft.foundation.content import read_json
from graft.foundation.errors import GraftError
from tests.augmented_samples import bare_rows, run_augment, write_rows, write_train
from tests.formats_layouts.coco import make_panoptic
from tests.formats_layouts.layers import NUCLEI, make_nuclei
from tests.formats_layouts.pictures import run_ingest, stripes, write_image, write_mask
from tests.formats_layouts.supervisely import make_supervisely

PAIRS = {
    "name": "mask_folder",
    "images": "images/**/*.png",
    "masks": "masks/{subdir}/{stem}.png",
    "classes": {"a": [0], "b": [255]},
    "test_fraction": 0.0,
}
SCENES = {"name": "scenes", "domain": "day", "num_train": 2, "num_val": 1, "num_test": 0}
SCENES |= {"width_px": 64, "height_px": 48}


def listing_of(root: Path, source: Any, task: str = "segmentation", *, unlabelled: Any = None) -> Listing:
    return add_unlabelled(resolve(FORMATS, source, where="ingest.source")(task, 7, root), root, unlabelled)


def unlabelled_ids(listing: Listing) -> list[str]:
    assert all((entry.mask, entry.label) == (None, None) for entry in listing.entries if entry.split == "unlabelled")
    return sorted(entry.id for entry in listing.entries if entry.split == "unlabelled")


def make_pairs(root: Path, *bare: str) -> None:
    for number in range(12):
        write_image(root / f"images/{number}.png", number)
        write_mask(root / f"masks/{number}.png", stripes(0, 255))
    for number, name in enumerate(bare, 100):
        write_image(root / name, number)


def make_classes(root: Path, *bare: str) -> None:
    for number in range(12):
        write_image(root / f"{('ants', 'bees')[number % 2]}/{number}.png", number)
    for number, name in enumerate(bare, 100):
        write_image(root / name, number)


def test_a_folder_named_so_needs_no_masks(tmp_path: Path) -> None:
    make_pairs(tmp_path, "images/unlabelled/1.png", "Unlabeled/a/2.png", "masks/unlabelled/1.png")
    listing = listing_of(tmp_path, PAIRS)
    assert listing.problems == []
    assert unlabelled_ids(listing) == ["Unlabeled/a/2.png", "images/unlabelled/1.png"]
    assert len(listing.entries) == 14
    every = listing_of(tmp_path, PAIRS | {"splits": {}})  # a folder as any other
    assert (unlabelled_ids(every), len(every.entries)) == ([], 13)


def bare_nuclei(root: Path) -> None:
    make_nuclei(root)
    write_image(root / "bare/images/bare.png", 99)


def bare_panoptic(root: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["categories"].append({"id": 1, "name": "person", "isthing": 1})
        for segment in content["annotations"][0]["segments_info"]:
            segment["category_id"] = 1

    make_panoptic(root, change)
    write_image(root / "more/bare.png", 99)


def bare_supervisely(root: Path) -> None:
    make_supervisely(root)
    write_image(root / "ds0/img/bare.png", 99)


@pytest.mark.parametrize(
    ("make", "source", "bare"),
    [
        (bare_nuclei, NUCLEI, "bare/images/bare.png"),
        (bare_panoptic, {"name": "coco_panoptic", "categories": ["dog", "sky-other"]}, "more/bare.png"),
        (bare_supervisely, {"name": "supervisely"}, "ds0/img/bare.png"),
    ],
)
@pytest.mark.parametrize("folder", ["", "inner"])
def test_masks_that_are_the_mask_of_no_entry_are_no_images(
    make: Any, source: dict[str, Any], bare: str, folder: str, tmp_path: Path
) -> None:
    make(tmp_path / folder)
    if folder:
        names = ["dog", "nucleus", "car", "van", "background"]
        part = {"root": folder, "source": source, "classes": {"*": "background"}}
        source = {"name": "joined", "sources": [part], "classes": names}
    listing = listing_of(tmp_path, source, unlabelled="**/*.png")
    assert unlabelled_ids(listing) == [f"{folder}/{bare}".lstrip("/")]


def test_lines_of_a_table_need_no_target_in_a_folder_named_so(tmp_path: Path) -> None:
    make_classes(tmp_path, "unlabelled/x.png")
    lines = [f"{('ants', 'bees')[n % 2]}/{n}.png,{('ants', 'bees')[n % 2]}" for n in range(12)]
    (tmp_path / "data.csv").write_text("\n".join(["image,label", *lines, "unlabelled/x.png,"]))
    listing = listing_of(tmp_path, {"name": "csv", "val_fraction": 0.4, "test_fraction": 0.0}, "classification")
    assert (listing.problems, unlabelled_ids(listing)) == ([], ["unlabelled/x.png"])
    assert {entry.split for entry in listing.entries} == {"train", "val", "unlabelled"}


def test_a_folder_named_so_is_no_class(tmp_path: Path) -> None:
    make_classes(tmp_path, "unlabelled/x.png", "unlabelled/deep/y.png")
    source = {"name": "image_folder", "val_fraction": 0.4, "test_fraction": 0.0}
    listing = listing_of(tmp_path, source, "classification")
    assert listing.class_map.names == ("ants", "bees")
    assert unlabelled_ids(listing) == ["unlabelled/deep/y.png", "unlabelled/x.png"]
    every = listing_of(tmp_path, source | {"splits": {}}, "classification")
    assert every.class_map.names == ("ants", "bees", "unlabelled")


def test_a_pattern_takes_what_the_source_leaves_without_a_target(tmp_path: Path) -> None:
    make_pairs(tmp_path, "images/more/20.png", "extra/21.png")
    assert [line.split(" (")[0] for line in listing_of(tmp_path, PAIRS).problems] == [
        "images/more/20.png: image without mask"
    ]
    listing = listing_of(tmp_path, PAIRS, unlabelled=["images/**/*.png", "extra/*"])
    assert listing.problems == []
    assert unlabelled_ids(listing) == ["extra/21.png", "images/more/20.png"]
    everything = listing_of(tmp_path, PAIRS, unlabelled="**/*.png")
    assert unlabelled_ids(everything) == ["extra/21.png", "images/more/20.png"]  # masks are no images


def test_images_beside_drawn_ones_are_read_from_the_root(tmp_path: Path) -> None:
    write_image(tmp_path / "photos/1.png", 1)
    listing = listing_of(tmp_path, SCENES, unlabelled="photos/*")
    (entry,) = (entry for entry in listing.entries if entry.split == "unlabelled")
    assert listing.read(entry) == ((tmp_path / "photos/1.png").read_bytes(), None)
    assert listing.read(listing.entries[0])[1] is not None


@pytest.mark.parametrize("pattern", ["none/*.png", "images/*.png", "../*.png"])
def test_a_pattern_that_finds_nothing_is_refused(pattern: str, tmp_path: Path) -> None:
    make_pairs(tmp_path)
    with pytest.raises(GraftError, match=r"(?s)ingest.unlabelled.*(correct the pattern|stay below it)"):
        listing_of(tmp_path, PAIRS, unlabelled=pattern)


def test_training_images_that_are_left_out_can_stay_without_labels(tmp_path: Path) -> None:
    make_classes(tmp_path)
    source = {"name": "image_folder", "val_fraction": 0.3, "test_fraction": 0.0}
    whole = listing_of(tmp_path, source, "classification")
    few = listing_of(tmp_path, source | {"num_train": 2, "rest": "unlabelled"}, "classification")
    train = [entry for entry in few.entries if entry.split == "train"]
    assert sorted(str(entry.label) for entry in train) == ["0", "1"]
    assert {entry.id for entry in few.entries} == {entry.id for entry in whole.entries}
    assert len(unlabelled_ids(few)) == sum(entry.split == "train" for entry in whole.entries) - 2
    left_out = listing_of(tmp_path, source | {"num_train": 2}, "classification")
    assert unlabelled_ids(left_out) == []
    with pytest.raises(GraftError, match="rest says what becomes of the training images that num_train leaves out"):
        listing_of(tmp_path, source | {"rest": "unlabelled"}, "classification")


def test_unlabelled_scenes_may_be_of_another_domain(tmp_path: Path) -> None:
    plain = listing_of(tmp_path, SCENES)
    more = listing_of(tmp_path, SCENES | {"num_unlabelled": 3, "unlabelled_domain": "fog,rain"})
    assert [*more.entries[: len(plain.entries)]] == [*plain.entries]
    assert [entry.domain for entry in more.entries[len(plain.entries) :]] == ["fog", "rain", "fog"]
    with pytest.raises(GraftError, match=r"ingest\.source\.unlabelled_domain"):
        listing_of(tmp_path, SCENES | {"num_unlabelled": 3, "unlabelled_domain": "frog"})


def test_ingest_writes_the_split_and_the_place_of_none(tmp_path: Path) -> None:
    found = run_ingest(tmp_path, tmp_path / "out", SCENES | {"num_unlabelled": 2})
    assert found.metrics["num_unlabelled"] == 2
    assert (num_rows(tmp_path / "out/unlabelled"), num_rows(tmp_path / "out/none")) == (2, 0)
    assert {row.mask for row in found.rows.values() if row.split == "unlabelled"} == {None}
    run_ingest(tmp_path, tmp_path / "without", SCENES)
    assert (num_rows(tmp_path / "without/unlabelled"), num_rows(tmp_path / "without/none")) == (0, 0)


@pytest.mark.parametrize("task", ["segmentation", "classification"])
@pytest.mark.parametrize("storage", ["materialised", "online"])
def test_weak_views_keep_their_colours_and_say_where_the_image_is(tmp_path: Path, task: str, storage: str) -> None:
    write_train(tmp_path, task=task, num_samples=2)
    write_rows(tmp_path / "unlabelled", bare_rows(task, 3))
    policy = {"name": "street", "strength": 2.0, "min_scale": 0.5, "max_scale": 0.6}
    metrics = run_augment(
        tmp_path, tmp_path / "out", task=task, storage=storage, unlabelled="unlabelled", policy=policy
    )
    assert (metrics["num_unlabelled_images"], metrics["num_unlabelled_views"]) == (3, 6)
    views = open_views(tmp_path / "out" / UNLABELLED_VIEWS, task, num_workers=1)
    images, targets = views.read(np.arange(3), 1)
    assert (views.num_views, images.shape, views.class_counts.sum()) == (2, (3, 64, 80, 3), 0)
    if task == "classification":
        assert targets.tolist() == [-1, -1, -1]
    else:
        assert set(np.unique(targets)) == {0, 255}  # things half as large: every view reaches beyond the image
        assert np.median(images[targets == 255], axis=0).tolist() == [124, 116, 104]
    transforms = read_json(tmp_path / "out" / UNLABELLED_VIEWS / "policy.json")["transforms"]["transform"]
    assert [part["__class_fullname__"].split(".")[-1] for part in transforms["transforms"]] == [
        "HorizontalFlip",
        "Affine",
        "ScaledCrop",
    ]


def test_supervised_views_do_not_change_when_unlabelled_images_come(tmp_path: Path) -> None:
    write_train(tmp_path, num_samples=2)
    run_augment(tmp_path, tmp_path / "without")
    write_rows(tmp_path / "unlabelled", bare_rows("segmentation", 2))
    run_augment(tmp_path, tmp_path / "beside")
    run_augment(tmp_path, tmp_path / "with", unlabelled="unlabelled")
    files = {path.name: path.read_bytes() for path in (tmp_path / "without").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "beside").iterdir()} == files
    with_them = {path.name: path.read_bytes() for path in (tmp_path / "with").iterdir() if path.is_file()}
    assert with_them == files


def test_unlabelled_images_that_are_named_must_be_there(tmp_path: Path) -> None:
    write_train(tmp_path, num_samples=2)
    write_rows(tmp_path / "unlabelled", [])
    with pytest.raises(GraftError, match=r"the source has no unlabelled images.*set augment.unlabelled: none"):
        run_augment(tmp_path, tmp_path / "out", unlabelled="unlabelled")
