"""`graft label-next`: which images are chosen, what is proposed for them, and that it comes back as it was proposed."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as Xml

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from graft.cli import with_commands
from graft.commands.label_next import label_next
from graft.data.formats.coco_masks import region_of
from graft.data.images.codec import encode_png
from graft.deployment.labelling.outlines import outlines_of
from graft.deployment.labelling.worth import choose
from graft.foundation.class_map import ClassMap
from graft.foundation.content import sha256_of, write_json
from graft.foundation.errors import GraftError
from graft.provenance.seen_images import seen_images
from graft.provenance.stages import MANIFEST, SEEN
from tests.formats_layouts.pictures import run_ingest
from tests.graft.test_package_weights import export

COLOURS = ((0, 0, 0), (200, 0, 0), (0, 0, 200))
SIZE = (96, 128)


@dataclass(frozen=True)
class FeaturePrediction:
    class_ids: np.ndarray
    confidence: np.ndarray
    features: np.ndarray


def classes(task: str = "segmentation") -> ClassMap:
    return ClassMap(task, ("background", "house", "road"), COLOURS, (0, 1, 2), False, False, "mask_folder")


def see(image: np.ndarray) -> FeaturePrediction:
    """A model that knows the colours, and is the less sure the brighter the green."""
    ids = np.argmax(image[..., [1, 0, 2]] > 100, axis=-1).astype(np.uint8)
    confidence = 1 - image[..., 1].astype(np.float32) / 255
    return FeaturePrediction(ids, confidence, image.reshape(-1, 3).mean(axis=0).astype(np.float32) - 20)


def see_label(image: np.ndarray) -> FeaturePrediction:
    found = see(image)
    return FeaturePrediction(np.array(1 + int((found.class_ids == 2).any())), found.confidence.mean(), found.features)


def draw(number: int) -> np.ndarray:
    """A house with a courtyard in which another one stands, a road beside it, and a little green everywhere."""
    image = np.zeros((*SIZE, 3), np.uint8)
    image[..., 1] = number
    centre = (30 + number % 40, 48)
    cv2.circle(image, centre, 28, (200, number, 0), -1)
    cv2.circle(image, centre, 16, (0, number, 0), -1)
    cv2.circle(image, centre, 7, (200, number, 0), -1)
    cv2.rectangle(image, (104, 0), (104 + number % 20, 95), (0, number, 200), -1)
    return image


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    (tmp_path / "in/a").mkdir(parents=True)
    for number in (1, 7, 23, 35, 59):
        (tmp_path / f"in/a/{number}.png").write_bytes(encode_png(draw(number)))
    return tmp_path / "in"


def test_outlines_give_the_mask_back_with_its_holes() -> None:
    mask = see(draw(5)).class_ids
    for tolerance, most_wrong in ((0.01, 0), (0.7, 120)):
        painted = np.zeros_like(mask)
        for one in outlines_of(mask, (1, 2), tolerance):
            painted[region_of([one.points.ravel().tolist()], *mask.shape)] = one.class_id
        assert (painted != mask).sum() <= most_wrong
        assert painted[48, 35 + 12] == 0  # the courtyard
    assert outlines_of(np.zeros(SIZE, np.uint8), (1, 2)) == []


def test_proposals_for_coco_come_back_as_they_were_proposed(photographs: Path, tmp_path: Path) -> None:
    done = label_next(5, [str(photographs)], see, classes(), tmp_path / "out", tool="coco")
    found = run_ingest(tmp_path / "out", tmp_path / "interim", done.handover.source)
    assert found.class_map.names == classes().names
    assert found.metrics == {"num_images": 5, "num_train": 3, "num_val": 1, "num_test": 1}
    for number in (1, 7, 23, 35, 59):
        (id,) = (id for id in found.rows if id.endswith(f"-{number}.png"))
        mask = found.mask(id)
        assert (mask == see(draw(number)).class_ids).mean() > 0.99
        assert mask[48, 30 + number % 40 + 12] == 0
    sheet = (tmp_path / "out/sheet.html").read_text(encoding="utf-8")
    assert sheet.count("<figure") == 5
    assert "http" not in sheet.replace("http-equiv", "")


def test_labelme_and_cvat_get_the_same_regions_in_their_own_form(photographs: Path, tmp_path: Path) -> None:
    label_next(2, [str(photographs)], see, classes(), tmp_path / "labelme")
    drawn = json.loads((tmp_path / "labelme/images/1-59.json").read_text(encoding="utf-8"))
    assert (drawn["imagePath"], drawn["imageHeight"], drawn["imageWidth"]) == ("1-59.png", *SIZE)
    assert [shape["label"] for shape in drawn["shapes"]] == ["house", "house", "road"]
    assert (tmp_path / "labelme/labels.txt").read_text() == "__ignore__\nhouse\nroad\n"
    label_next(2, [str(photographs)], see, classes(), tmp_path / "cvat", tool="cvat")
    image = Xml.parse(tmp_path / "cvat/annotations.xml").find("image[@name='1-59.png']")
    assert image is not None
    polygons = [[[float(v) for v in point.split(",")] for point in one.get("points", "").split(";")] for one in image]
    assert polygons == [shape["points"] for shape in drawn["shapes"]]
    assert [one["name"] for one in json.loads((tmp_path / "cvat/labels.json").read_text())] == ["house", "road"]


def test_a_table_of_proposed_labels_is_read_by_the_source_csv(photographs: Path, tmp_path: Path) -> None:
    done = label_next(5, [str(photographs)], see_label, classes("classification"), tmp_path / "out")
    with (tmp_path / "out/labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["label"] for row in rows} == {"road"}
    text = (tmp_path / "out/labels.csv").read_text().replace("1.png,road", "1.png,house")  # a person corrects it
    (tmp_path / "out/labels.csv").write_text(text)
    source = {**done.handover.source, "val_fraction": 0.3, "test_fraction": 0}
    assert run_ingest(tmp_path / "out", tmp_path / "interim", source, "classification").metrics["num_images"] == 5


def test_what_is_unsure_and_far_from_the_labelled_comes_first_and_no_near_duplicate_follows() -> None:
    features = np.array([[1, 0], [1, 0.01], [0, 1], [1, 1]], np.float32)
    hashes = np.array([0, 1, 1 << 40 | 0xFFFF, 0xFFFF0000], np.uint64)
    labelled = np.array([[0, 1]], np.float32)
    picks = choose(features, np.array([0.5, 0.4, 0.9, 0.5]), hashes, labelled, 4)
    assert [pick.number for pick in picks] == [0, 3, 2]  # 1 is like 0; 2 is unsure, and labelled in all but name
    assert [pick.nearest for pick in picks] == [0, 0, 0]
    unknown = choose(features, np.array([0.5, 0.4, 0.9, 0.5]), hashes, np.empty((0, 1), np.float32), 2)
    assert [(pick.number, pick.nearest) for pick in unknown] == [(2, None), (0, None)]


def test_images_that_are_known_double_or_unreadable_are_left_out_and_counted(photographs: Path, tmp_path: Path) -> None:
    (photographs / "again.png").write_bytes((photographs / "a/7.png").read_bytes())
    (photographs / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    known = {sha256_of(photographs / "a/59.png")}
    done = label_next(3, [str(photographs)], see, classes(), tmp_path / "out", known=known)
    assert not list((tmp_path / "out/images").glob("*-59.png"))
    said = str(done)
    assert "1 left out that the model has seen" in said
    assert "1 left out that have the content of another file" in said
    assert "1 left out that could not be read" in said
    with (tmp_path / "out/reasons.csv").open() as file:
        unsure = [float(row["uncertainty"]) for row in csv.DictReader(file)]
    assert len(unsure) == 3
    assert unsure[0] == max(unsure)


def test_what_cannot_be_done_is_said_and_nothing_is_left_behind(photographs: Path, tmp_path: Path) -> None:
    out, digests = tmp_path / "out", {sha256_of(file) for file in photographs.rglob("*.png")}
    with pytest.raises(GraftError, match="6 images are asked for, and 5 can be chosen"):
        label_next(6, [str(photographs)], see, classes(), out)
    with pytest.raises(GraftError, match="the model has seen all 5 images"):
        label_next(1, [str(photographs)], see, classes(), out, known=digests)
    with pytest.raises(GraftError, match="csv does not take proposals of a segmentation model"):
        label_next(1, [str(photographs)], see, classes(), out, tool="csv")
    with pytest.raises(GraftError, match="no such image"):
        label_next(1, [str(photographs / "*.tif")], see, classes(), out)
    calls = []

    def fail_late(image: np.ndarray) -> FeaturePrediction:
        calls.append(1)
        if len(calls) > 6:
            raise KeyboardInterrupt
        return see(image)

    with pytest.raises(KeyboardInterrupt):
        label_next(3, [str(photographs)], fail_late, classes(), out)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    with pytest.raises(GraftError, match="it holds something already"):
        label_next(1, [str(photographs / "a")], see, classes(), photographs)


def test_the_command_chooses_by_an_exported_model_and_says_how_to_go_on(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    export(Path("model"))
    write_json(Path("model/predict.json"), {"max_pixels": 65536, "overlap_px": 32})
    arguments = ["label-next", "2", str(photographs / "**/*.png"), "--model", "model", "--format", "coco"]
    done = CliRunner().invoke(with_commands(), arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert "2 of 5 images, those the model is least sure of, far from each other: labels_next/images" in done.stdout
    assert "Label them, in labels_next: import annotations/instances_default.json as COCO" in done.stdout
    assert "source: {name: coco, background: null, categories: [road, sky], held_out_fraction: 0.15}" in done.stdout
    assert "no file tells which images model has seen" in done.stderr
    assert len(list(Path("labels_next/images").iterdir())) == 2


def test_what_the_project_has_labels_for_and_what_a_model_saw_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (Path(SEEN).parent, Path(MANIFEST).parent):
        folder.mkdir(parents=True)
    write_json(Path(SEEN), {"train": ["a"], "val": ["b"], "unlabelled": ["e"]})
    rows = [{"split": "test", "image_sha256": "c"}, {"split": "unlabelled", "image_sha256": "d"}]
    pq.write_table(pa.Table.from_pylist(rows), MANIFEST)
    assert seen_images("models/exported") == {"a", "b", "c"}
