"""The first stage, whole: real and made folders in, shards, manifest and class map out."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from ruamel.yaml import YAML

from graft.data.images.codec import decode_image, decode_mask
from graft.data.shards import MANIFEST_SCHEMA, read_rows
from graft.foundation.class_map import ClassMap
from graft.foundation.errors import GraftError
from graft.params.sections import Ingest
from pipeline.ingest import ingest

SCENES = {"name": "scenes", "domain": "night_rain", "num_train": 5, "num_val": 2, "num_test": 3}
SIZE = {"width_px": 64, "height_px": 48}
PAIRS = {"name": "mask_folder", "images": "images/*", "masks": "masks/{stem}.png", "classes": {"a": [0], "b": [255]}}


def run(
    root: Path, out: Path, source: dict[str, Any] | str, task: str = "segmentation", max_pixels: int = 10**6
) -> dict[str, float]:
    out.mkdir(parents=True)
    section = Ingest(
        root=str(root),
        source=source,
        unlabelled=None,
        split_seed=7,
        batch="first",
        max_pixels=max_pixels,
        deliveries={},
    )
    return ingest(task=task, ingest=section, root=root, out=out)


def manifest(out: Path) -> list[dict[str, Any]]:
    table = pq.read_table(out / "manifest.parquet")
    assert table.schema.equals(MANIFEST_SCHEMA)
    return table.to_pylist()


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def make_pairs(root: Path, num: int = 40) -> None:
    generator = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number in range(num):
        image = generator.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        cv2.imwrite(str(root / f"images/{number:03d}.jpg"), image)
        cv2.imwrite(str(root / f"masks/{number:03d}.png"), (image[..., 0] > 99).astype(np.uint8) * 255)


def test_only_the_split_seed_moves_images_between_splits(tmp_path: Path) -> None:
    make_pairs(tmp_path / "raw")
    splits = {}
    for name, split_seed, changed in (("a", 7, None), ("b", 8, None), ("c", 7, 8)):
        (tmp_path / name).mkdir()
        section = Ingest(
            root="raw",
            source=PAIRS,
            unlabelled=None,
            split_seed=split_seed,
            batch="first",
            max_pixels=10**6,
            deliveries={},
        )
        ingest(task="segmentation", ingest=section, root=tmp_path / "raw", out=tmp_path / name, seed=changed)
        splits[name] = {row["id"]: row["split"] for row in manifest(tmp_path / name)}
    assert splits["a"] != splits["b"] == splits["c"]
    stage = YAML(typ="safe").load(Path(__file__).parents[2] / "dvc.yaml")["stages"]["ingest"]
    assert "seed" not in stage["params"]  # another seed of the run does not even make it stale


def test_scenes_become_shards_manifest_and_class_map(tmp_path: Path) -> None:
    metrics = run(tmp_path, tmp_path / "out", {**SCENES, **SIZE})
    assert metrics == {"num_images": 10, "num_train": 5, "num_val": 2, "num_test": 3}
    assert sorted(digests(tmp_path / "out")) == [
        "class_map.json",
        "manifest.parquet",
        "none/first-00000.parquet",
        "test/first-00000.parquet",
        "train/first-00000.parquet",
        "unlabelled/first-00000.parquet",
        "val/first-00000.parquet",
    ]
    class_map = ClassMap.read(tmp_path / "out/class_map.json")
    assert (class_map.num_classes, class_map.synthetic) == (11, True)
    facts = {row["id"]: row for row in manifest(tmp_path / "out")}
    for row in read_rows(tmp_path / "out/train"):
        assert row.mask is not None
        mask, fact = decode_mask(row.mask), facts[row.id]
        assert decode_image(row.image).shape == (48, 64, 3)
        assert fact["mask_counts"] == np.bincount(mask.ravel(), minlength=11)[:11].tolist()
        assert (fact["width"], fact["height"], fact["mask_unknown"]) == (64, 48, 0)
        assert row.image_sha256 == fact["image_sha256"] == hashlib.sha256(row.image).hexdigest()
        assert row.mask_sha256 == fact["mask_sha256"] == hashlib.sha256(row.mask).hexdigest()
        assert (row.split, row.batch, row.domain, row.group) == ("train", "first", "night_rain", row.id)


def test_scenes_for_classification_have_labels_and_no_masks(tmp_path: Path) -> None:
    run(tmp_path, tmp_path / "out", {**SCENES, **SIZE, "domain": "day,night"}, "classification")
    rows = list(read_rows(tmp_path / "out/train"))
    assert [row.mask for row in rows] == [None] * 5
    assert sorted((row.domain, row.label) for row in rows) == [("day", 0)] * 3 + [("night", 1)] * 2


def test_the_same_folder_elsewhere_gives_the_same_bytes(tmp_path: Path) -> None:
    """Through a pool of processes and through a link, too."""
    for place in ("here", "some/where else"):
        make_pairs(tmp_path / place / "raw", num=80)
        run(tmp_path / place / "raw", tmp_path / place / "out", PAIRS)
    (tmp_path / "link").symlink_to(tmp_path / "here/raw")
    run(tmp_path / "link", tmp_path / "third", PAIRS)
    here = digests(tmp_path / "here/out")
    assert here == digests(tmp_path / "some/where else/out") == digests(tmp_path / "third")
    rows = manifest(tmp_path / "third")
    order = [(["train", "val", "test"].index(row["split"]), row["id"]) for row in rows]
    assert len(rows) == 80
    assert order == sorted(order)


def test_everything_unreadable_is_listed_at_once_and_nothing_else(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    make_pairs(root)
    whole = (root / "images/000.jpg").read_bytes()
    bomb = io.BytesIO()
    Image.new("1", (9000, 9000)).save(bomb, "PNG")
    (root / "images/000.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "images/001.jpg").write_bytes(b"")
    (root / "images/002.jpg").write_bytes(b"<html>404</html>")
    (root / "images/003.jpg").write_bytes(bomb.getvalue())
    (root / "masks/004.png").write_bytes(b"no mask")
    (root / "masks/005.png").unlink()
    (root / "images/006.jpg").unlink()
    (tmp_path / "outside.jpg").write_bytes(whole)
    (root / "images/007.jpg").unlink()
    (root / "images/007.jpg").symlink_to(tmp_path / "outside.jpg")
    (root / "masks/008.png").write_bytes(bomb.getvalue())
    with pytest.raises(GraftError) as refused:
        run(root, tmp_path / "out", PAIRS)
    message = str(refused.value)
    for line in (
        "images/000.jpg: the image is damaged or cut off",
        "images/001.jpg: the file is empty (zero bytes)",
        "images/002.jpg: not an image of a known kind",
        "images/003.jpg: 9000 x 9000 pixels are more than the 1,000,000 allowed: a decompression bomb?",
        "masks/004.png: not an image of a known kind",
        "images/005.jpg: image without mask (expected masks/005.png)",
        "masks/006.png: mask without image",
        "images/007.jpg: a link that leads out of the root",
        "masks/008.png: 9000 x 9000 pixels",
    ):
        assert line in message
    assert "files that cannot be used (9)" in message
    assert "\n  - images/009.jpg" not in message


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable to root")
def test_a_file_without_permission_is_named(tmp_path: Path) -> None:
    make_pairs(tmp_path / "raw")
    (tmp_path / "raw/images/000.jpg").chmod(0)
    with pytest.raises(GraftError, match=r"000.jpg: cannot be read \(Permission denied\)"):
        run(tmp_path / "raw", tmp_path / "out", PAIRS)


def test_a_file_that_goes_away_while_it_is_read_is_named(tmp_path: Path) -> None:
    from graft.data.facts import Describer
    from graft.data.formats.files import FileReader
    from graft.data.formats.listing import Entry

    class_map = ClassMap("classification", ("a", "b"), ((0, 0, 0),) * 2, ("a", "b"), False, False, "image_folder")
    describe = Describer(FileReader(str(tmp_path)), None, "first", 10**6, class_map)
    problems = describe(Entry("a.png", "train", "", "", "a.png"))
    assert problems == [f"{tmp_path / 'a.png'}: cannot be read (No such file or directory)"]


def test_a_file_too_large_for_a_shard_is_named(tmp_path: Path) -> None:
    make_pairs(tmp_path / "raw")
    with (tmp_path / "raw/images/000.jpg").open("r+b") as file:
        file.truncate(130_000_000)
    with pytest.raises(GraftError, match=r"images/000.jpg: more than 120,000,000 bytes"):
        run(tmp_path / "raw", tmp_path / "out", PAIRS)


def test_what_is_only_odd_is_a_fact(tmp_path: Path) -> None:
    """Sizes that differ, foreign values, lossy masks and a placeholder enter the manifest, for `validate` to judge."""
    root = tmp_path / "raw"
    make_pairs(root)
    Image.new("L", (9, 9), 255).save(root / "masks/000.png")
    Image.new("L", (32, 24), 7).save(root / "masks/001.png")
    Image.new("L", (32, 24), 255).save(root / "masks/002.png", "JPEG")
    Image.new("P", (32, 24)).save(root / "images/003.jpg", "GIF")
    run(root, tmp_path / "out", PAIRS)
    facts = {row["id"]: row for row in manifest(tmp_path / "out")}
    assert (facts["images/000.jpg"]["mask_width"], facts["images/000.jpg"]["width"]) == (9, 32)
    assert facts["images/001.jpg"]["mask_unknown"] == 32 * 24
    assert facts["images/001.jpg"]["mask_unknown_values"] == ["7"]
    assert facts["images/002.jpg"]["mask_lossy"]
    assert (facts["images/003.jpg"]["format"], facts["images/003.jpg"]["mode"]) == ("GIF", "P")


def test_a_source_that_does_not_exist_is_answered_with_the_one_it_resembles(tmp_path: Path) -> None:
    with pytest.raises(GraftError, match=r"no choice named 'camvit'.*did you mean 'camvid'"):
        run(tmp_path, tmp_path / "out", "camvit")


def test_real_camvid(real_data: Path, tmp_path: Path) -> None:
    metrics = run(real_data / "camvid", tmp_path / "out", {"name": "camvid", "num_train": 12})
    assert metrics["num_train"] == 12
    rows = manifest(tmp_path / "out")
    assert {(row["width"], row["height"]) for row in rows} == {(480, 360)}
    assert all(row["mask_unknown"] == 0 and sum(row["mask_counts"]) + row["mask_void"] == 480 * 360 for row in rows)
    assert {row["group"] for row in rows} <= {"0001TP", "0006R0", "0016E5", "Seq05VD"}


def test_real_ants_and_bees(real_data: Path, tmp_path: Path) -> None:
    metrics = run(real_data / "hymenoptera", tmp_path / "out", "image_folder", "classification", 10**8)
    assert metrics["num_images"] == 245
    rows = {row["id"]: row for row in manifest(tmp_path / "out")}
    assert rows["train/ants/imageNotFound.gif"]["format"] == "GIF"
    assert ClassMap.read(tmp_path / "out/class_map.json").names == ("ants", "bees")


def test_mask_folder_on_real_pairs_with_colours(real_data: Path, tmp_path: Path) -> None:
    """CamVid annotations painted in RGB come back as they were."""
    camvid, root = real_data / "camvid", tmp_path / "raw"
    colors = np.array([[40 * k % 256, 90, 255 - 20 * k] for k in range(12)], np.uint8)
    originals = {}
    for number, path in enumerate(sorted((camvid / "val").iterdir())[::8]):
        for folder, name, data in (
            ("photos/a", f"{number}.jpg", cv2.imread(str(path))),
            ("painted/a", f"{number}.png", colors[cv2.imread(str(camvid / "valannot" / path.name), -1)][..., ::-1]),
        ):
            (root / folder).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / folder / name), data)
        originals[f"photos/a/{number}.jpg"] = cv2.imread(str(camvid / "valannot" / path.name), -1)
    classes = {f"class {k}": [colors[k].tolist()] for k in range(11)}
    source = {"name": "mask_folder", "images": "photos/**/*.jpg", "masks": "painted/{subdir}/{stem}.png"}
    fractions = {"val_fraction": 0.3, "test_fraction": 0.3, "void": [colors[11].tolist()]}
    run(root, tmp_path / "out", {**source, "classes": classes, **fractions})
    rows = [row for split in ("train", "val", "test") for row in read_rows(tmp_path / "out" / split)]
    assert len(rows) == len(originals)
    for row in rows:
        assert row.mask is not None
        expected = originals[row.id]
        assert (decode_mask(row.mask) == np.where(expected == 11, 255, expected)).all()
