"""The stage: report in every case, the gate, damaged inputs, the same bytes twice, and real photographs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graft.data.expectations import GateClosed
from graft.foundation.errors import GraftError
from graft.params.sections import Ingest, Validate
from pipeline.ingest import ingest
from pipeline.validate import validate
from tests.pipeline.test_gathering import BOTH, FIRST, deliver, pictures

DEFAULTS = {
    "min_side_px": 32, "max_aspect": 4.0, "min_luminance": 8.0, "max_luminance": 247.0, "min_class_fraction": 0.0005,
    "max_void_fraction": 0.9, "near_duplicate_bits": 3, "allow": [],
}  # fmt: skip


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ingest makes of a folder of two classes."""
    root = tmp_path_factory.mktemp("photographs")
    generator = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in ("ants", "bees"):
            (root / split / name).mkdir(parents=True)
            for index in range(3):
                pixels = generator.integers(0, 255, (48, 64, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{index}.png")
    return ingest_folder(root, tmp_path_factory.mktemp("interim"))


def ingest_folder(root: Path, out: Path) -> Path:
    source = {"name": "image_folder"}
    params = Ingest(
        root=str(root), source=source, unlabelled=None, split_seed=1, batch="first", max_pixels=10**8, deliveries={}
    )
    ingest(task="classification", ingest=params, root=root, out=out)
    return out


def run(
    ingested: Path, out: Path, *, data_docs: Path | None = None, task: str = "classification", split="val", **changed
) -> dict:
    out.mkdir()
    together = out.with_name(f"{out.name} together")
    together.mkdir()
    return validate(
        task=task,
        validate=Validate(**DEFAULTS | changed),
        ingested=ingested.parent,
        interim=together,
        out=out,
        batch=ingested.name,
        split=split,
        data_docs=data_docs,
    )


def test_clean_images_pass_with_the_same_report_twice(photographs: Path, tmp_path: Path) -> None:
    metrics = run(photographs, tmp_path / "one", data_docs=tmp_path / "docs")
    run(photographs, tmp_path / "two")
    assert metrics == {"num_images": 12.0, "num_critical_broken": 0.0, "num_warnings": 0.0}
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["validation.json", "validation.md"]
    for name in ("validation.json", "validation.md"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert (tmp_path / "docs" / "index.html").stat().st_size > 1000
    assert "**Passed.** Nothing to report." in (tmp_path / "one" / "validation.md").read_text(encoding="utf-8")


def test_closed_gate_leaves_the_whole_report(photographs: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    generator = np.random.default_rng(1)
    for split, name in (("train", "ants"), ("train", "bees"), ("val", "ants"), ("val", "bees")):
        (root / split / name).mkdir(parents=True)
        pixels = generator.integers(0, 255, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / split / name / f"{split}.png")
    shutil.copy(root / "train/ants/train.png", root / "val/ants/copy.png")
    (tmp_path / "interim").mkdir()
    interim = ingest_folder(root, tmp_path / "interim")
    with pytest.raises(
        GateClosed, match=r"exact_duplicates_across_splits: 2 images: .*train.png.*copy.png[\s\S]*remedy"
    ):
        run(interim, tmp_path / "out")
    report = json.loads((tmp_path / "out/validation.json").read_text(encoding="utf-8"))
    assert not report["passed"]
    assert "**Stopped.** 1 critical rule is broken" in (tmp_path / "out/validation.md").read_text(encoding="utf-8")
    allow = [{"expectation": "exact_duplicates_across_splits", "images": "*", "reason": "a test of the gate"}]
    assert run(interim, tmp_path / "allowed", allow=allow)["num_warnings"] == 0


def test_deliveries_are_judged_together(tmp_path):
    first = pictures(tmp_path / "raw", 1, BOTH)
    twice = pictures(
        tmp_path / "new", 1, {"val": [[0, 1], [1, 1]], "train": [[0, 1], [1, 1]]}
    )  # the same noise as the first training image
    folder = deliver(tmp_path / "in", "first", first, FIRST, "")
    deliver(folder, "new", twice, FIRST)
    out = tmp_path / "out"
    for name in ("report", "interim"):
        (out / name).mkdir(parents=True)
    judged = {"task": "segmentation", "validate": Validate(**DEFAULTS), "split": "val", "deliveries": {"new": None}}
    with pytest.raises(GraftError, match=r"exact_duplicates_across_splits[\s\S]*new/images/val/a\.png"):
        validate(**judged, ingested=folder, interim=out / "interim", out=out / "report")
    assert json.loads((out / "report/validation.json").read_text())["deliveries"] == ["first", "new"]
    assert "Deliveries: first 2, new 2." in (out / "report/validation.md").read_text("utf-8")


def test_missing_and_damaged_manifests_are_refused(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(GraftError, match="manifest not found"):
        run(tmp_path, tmp_path / "absent")
    interim = tmp_path / "interim"
    shutil.copytree(photographs, interim)
    stored = (interim / "manifest.parquet").read_bytes()
    flipped = stored[:100] + bytes([stored[100] ^ 255]) + stored[101:]
    for name, damaged in (("empty", b""), ("cut", stored[:-20]), ("text", b"id,split\n"), ("flipped", flipped)):
        (interim / "manifest.parquet").write_bytes(damaged)
        with pytest.raises(GraftError, match="not a readable parquet file"):
            run(interim, tmp_path / name)
        assert not list((tmp_path / name).iterdir())


def test_columns_missing_or_of_another_type(photographs: Path, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    interim = tmp_path / "interim"
    shutil.copytree(photographs, interim)
    table = pq.read_table(interim / "manifest.parquet")
    pq.write_table(table.drop_columns(["phash"]), interim / "manifest.parquet")
    with pytest.raises(GateClosed, match=r"columns_present: 1 column: phash \(column missing\)"):
        run(interim, tmp_path / "missing")
    assert "columns_present" in (tmp_path / "missing/validation.md").read_text(encoding="utf-8")
    widths = table.column("width").cast(pa.string())
    index = table.schema.get_field_index("width")
    pq.write_table(table.set_column(index, "width", widths), interim / "manifest.parquet")
    with pytest.raises(GraftError, match="column 'width' is string, the manifest has int32"):
        run(interim, tmp_path / "typed")


def test_a_class_map_of_another_task_is_refused(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(GraftError, match=r"class map is for classification, params\.yaml says task: segmentation"):
        run(photographs, tmp_path / "out", task="segmentation")


def test_real_photographs_name_the_placeholder(real_data: Path, tmp_path: Path) -> None:
    root = real_data / "hymenoptera"
    if not root.is_dir():
        pytest.skip(f"real photographs are not here: {root}")
    (tmp_path / "interim").mkdir()
    run(ingest_folder(root, tmp_path / "interim"), tmp_path / "out", max_luminance=242.0)
    report = json.loads((tmp_path / "out/validation.json").read_text(encoding="utf-8"))
    found = {entry["name"]: entry for entry in report["expectations"]}
    for name in ("odd_modes", "differing_formats", "bright_images"):
        assert found[name]["count"] == 1
        assert found[name]["examples"][0].endswith(".gif")
