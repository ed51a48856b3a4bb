"""`graft review`: labels that a model which never saw them contradicts come first, and can be left out."""

from __future__ import annotations

import csv
import hashlib
import math
import re
import shutil
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from graft.cli import with_commands
from graft.commands.review.contradictions import SelfConfidence, contradict, disbelief, regions_of
from graft.commands.review.judges import (
    FoldStages,
    check_inputs,
    deal_folds,
    left_out_by,
    one_judge,
    train_judges,
)
from graft.commands.review.review import Doubt, Review, leave_out, review
from graft.data.images.codec import encode_png
from graft.data.shards import ShardWriter, read_columns
from graft.foundation.class_map import ClassMap
from graft.foundation.content import read_json, write_json
from graft.foundation.errors import GraftError
from graft.params.params_file import load_params
from graft.params.yaml_tree import read_tree, write_tree
from graft.provenance.learnt_images import learnt_images
from pipeline.augment import augment
from pipeline.fine_tune import fine_tune
from tests.dotted_keys import put
from tests.seven_stages import FILE, SMALL, run_stages, small_params

CLASSES = {"ground": [0], "house": [1], "sky": [2]}
COLOURS = np.array([(90, 160, 60), (180, 60, 50), (80, 130, 220)])
SIZE = (64, 96)


def test_a_class_is_expected_as_sure_as_the_model_is_of_it():
    confidence = SelfConfidence(3)
    confidence.add(np.array([[[0.9, 0.5]], [[0.1, 0.3]], [[0.0, 0.2]]], np.float32), np.array([[0, 0]], np.uint8))
    confidence.add(np.array([[[0.2, 0.4]], [[0.6, 0.3]], [[0.2, 0.3]]], np.float32), np.array([[1, 255]], np.uint8))
    assert confidence.thresholds() == pytest.approx([0.7, 0.6, np.inf])


def test_a_label_is_contradicted_by_the_likeliest_class_that_reaches_its_threshold():
    # kept, contradicted, below, not that sure, void, of two that reach theirs the likelier
    of_class_0 = np.array([[0.80, 0.10, 0.35, 0.55, 0.10, 0.45]], np.float32)
    probabilities = np.stack([of_class_0, 1 - of_class_0])
    labels = np.array([[0, 0, 0, 1, 255, 0]], np.uint8)
    suggested = contradict(probabilities, labels, np.array([0.6, 0.7]))
    assert suggested.tolist() == [[255, 1, 255, 255, 255, 255]]
    assert contradict(probabilities, labels, np.array([0.4, 0.5])).tolist() == [[255, 1, 1, 0, 255, 1]]


def test_a_region_is_of_one_label_and_one_suggestion_with_its_evidence():
    labels = np.array([[0, 0, 1, 1], [0, 0, 1, 1]], np.uint8)
    suggested = np.array([[2, 255, 2, 255], [255, 2, 255, 0]], np.uint8)
    probabilities = np.zeros((3, 2, 4), np.float32)
    probabilities[2, 0, 0], probabilities[0, 0, 0] = 0.75, 0.25
    probabilities[2, 1, 1] = 1
    probabilities[2, 0, 2], probabilities[1, 0, 2] = 0.625, 0.375
    probabilities[0, 1, 3], probabilities[1, 1, 3] = 0.875, 0.125
    found = [astuple(region) for region in regions_of(probabilities, labels, suggested)]
    boxes = [(0, 2, 0, 0, 2, 2, 2), (1, 0, 3, 1, 1, 1, 1), (1, 2, 2, 0, 1, 1, 1)]
    assert [region[:7] for region in found] == boxes
    log_odds = [math.log(3) + math.log(1000), math.log(7), math.log(5 / 3)]  # a probability of 0 counts as 0.001
    assert [region[7] for region in found] == pytest.approx(log_odds)


def test_an_image_is_as_doubtful_as_its_twentieth_that_is_believed_least():
    of_class_0 = np.linspace(0.02, 0.8, 40, dtype=np.float32).reshape(4, 10)  # 0.02, 0.04 ... 0.8
    probabilities, labels = np.stack([of_class_0, 1 - of_class_0]), np.zeros((4, 10), np.uint8)
    assert disbelief(probabilities, labels) == pytest.approx(-(math.log(0.02) + math.log(0.04)) / 2)
    labels[0, 0] = 255
    assert disbelief(probabilities, labels) == pytest.approx(-(math.log(0.04) + math.log(0.06)) / 2)
    assert disbelief(np.array([[[0.25]], [[0.75]]], np.float32), np.array([[0]])) == pytest.approx(math.log(4))
    assert disbelief(np.array([[[0.0]], [[1.0]]], np.float32), np.array([[0]])) == pytest.approx(math.log(1000))


def test_the_256th_class_of_images_is_a_class_like_any_other():
    probabilities, thresholds = np.full((300, 1, 1), 1e-3, np.float32), np.full(300, 0.4)
    probabilities[280], probabilities[255] = 0.5, 0.2
    label = np.array([[255]])
    suggested = contradict(probabilities, label, thresholds)
    assert suggested.tolist() == [[280]]
    (region,) = regions_of(probabilities, label, suggested)
    assert (region.given, region.suggested) == (255, 280)
    assert disbelief(probabilities, label) == pytest.approx(-math.log(0.2))
    confidence = SelfConfidence(300)
    confidence.add(probabilities, label)
    assert confidence.thresholds()[255] == pytest.approx(0.2)


def write_train(folder: Path, groups: list[str], same: tuple[int, ...] = ()) -> Path:
    """A train split; the rows named `same` hold the same file."""
    writer = ShardWriter(folder, "first")
    for number, group in enumerate(groups):
        image = b"same" if number in same else f"{number}".encode()
        row = {"id": f"{number:02d}", "split": "train", "batch": "first", "domain": "", "group": group, "label": 0}
        row |= {"image": image, "image_sha256": hashlib.sha256(image).hexdigest()}
        writer.add(row | {"mask": None, "mask_sha256": None})
    writer.close()
    return folder / "train"


def test_a_group_is_in_one_part_and_parts_are_of_one_size(tmp_path):
    groups = [f"clip {number // 4}" for number in range(24)] + [""] * 6
    train = write_train(tmp_path, groups)
    folds = deal_folds(train, 7, 3)
    assert sorted(number for fold in folds for number in fold) == list(range(30))
    assert max(map(len, folds)) - min(map(len, folds)) <= 4
    for clip in range(6):
        assert sum(not fold.isdisjoint(range(4 * clip, 4 * clip + 4)) for fold in folds) == 1
    assert deal_folds(train, 7, 3) == folds
    with pytest.raises(GraftError, match=r"13 parts of 12 groups.*at most 12 folds"):
        deal_folds(train, 7, 13)


def draw(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Sky over ground with a house somewhere in front, a little noisy."""
    generator = np.random.default_rng(number)
    mask = np.full(SIZE, 2, np.uint8)
    mask[34 + number % 9 :] = 0
    left = int(generator.integers(4, 60))
    mask[20:52, left : left + 30] = 1
    noise = generator.integers(-25, 26, (*SIZE, 3))
    return np.clip(COLOURS[mask] + noise, 0, 255).astype(np.uint8), mask


def test_one_file_under_two_names_is_in_one_part_with_the_groups_of_both(tmp_path):
    train = write_train(tmp_path, ["a", "a", "", "b", "b", "", "", ""], same=(1, 2, 4))
    (joined,) = (fold for fold in deal_folds(train, 7, 4) if 0 in fold)
    assert joined == {0, 1, 2, 3, 4}
    with pytest.raises(GraftError, match=r"5 parts of 4 groups"):
        deal_folds(train, 7, 5)
    alone = write_train(tmp_path / "alone", ["a", "a"])
    with pytest.raises(GraftError, match=r"2 parts of 1 group of training images.*judge with a model") as refused:
        deal_folds(alone, 7, 2)
    assert "at most" not in str(refused.value)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A project up to a model, two of whose masks are wrong."""
    root = tmp_path_factory.mktemp("review")
    raw, work = root / "raw", root / "work"
    for name, amount in {"train": 18, "val": 6, "test": 4}.items():
        for kind in ("images", "masks"):
            (raw / kind / name).mkdir(parents=True)
        for number in range(amount):
            image, mask = draw(number + 100 * len(name))
            if name == "train" and number == 4:
                mask[mask == 1] = 2
            if name == "train" and number == 11:
                mask = np.where(mask == 1, np.where(np.arange(SIZE[0])[:, None] < 36, 2, 0), mask).astype(np.uint8)
            (raw / "images" / name / f"{number:02d}.png").write_bytes(encode_png(image))
            (raw / "masks" / name / f"{number:02d}.png").write_bytes(encode_png(mask))
    source = {"name": "mask_folder", "images": "images/**/*.png", "masks": "masks/{subdir}/{stem}.png"}
    source |= {"classes": CLASSES, "splits": {name: name for name in ("train", "val", "test")}}
    changes = {
        "ingest.source": source,
        "model": {"name": "plain_fcn", "width": 8, "depth": 2},
        "pretrain_load.source": {"name": "none"},
        "augment.crop": {"height_px": 64, "width_px": 96},
        "augment.policy": {"name": "light"},
        "fine_tune.epochs": 12,
        "fine_tune.learning_rate": 2e-2,
        "fine_tune.warmup_epochs": 0,
        "promotion.min_score": 0.0,
    }
    tree = read_tree(FILE)
    put(tree, SMALL | changes | {"ingest.root": str(raw)})
    write_tree(root / "params.yaml", tree)
    (root / "dvc.yaml").write_text("stages: {}\n")
    run_stages(raw, work, small_params(changes.pop("ingest.source"), **changes))
    places = {"interim": "data/interim", "checked": "reports/validation", "pretrained": "models/pretrained"}
    for name, place in (places | {"model": "models/fine_tuned", "exported": "models/exported"}).items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(work / name, root / place)
    (root / "models/none").mkdir()
    return root


def run(*options: str):
    return CliRunner().invoke(with_commands(), ["review", *options])


def read_table(project: Path) -> list[dict[str, str]]:
    with (project / "reports/review/review.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_wrong_masks_come_first_and_can_be_left_out(project, monkeypatch):
    monkeypatch.chdir(project)
    done = run("--folds", "3", "--shown", "4")
    assert done.exit_code == 0, done.output
    rows = read_table(project)
    worst = [row for row in rows if row["rank"] in ("1", "2")]
    assert {row["image"] for row in worst} == {"images/train/04.png", "images/train/11.png"}
    called_sky = next(row for row in worst if row["image"].endswith("04.png"))
    assert (called_sky["label"], called_sky["suggestion"]) == ("sky", "house")
    assert 600 < int(called_sky["pixels"]) <= 960
    page = (project / "reports/review/review.html").read_text()
    assert "sky, rather house" in page
    assert len(re.findall("<figure", page)) == min(4, len({row["image"] for row in rows}))
    models = {path: path.stat().st_mtime_ns for path in (project / "reports/review/models").rglob("*.safetensors")}
    assert len(models) == 3

    done = run("--folds", "3", "--leave-out", "2")
    assert done.exit_code == 0, done.output
    assert {path: path.stat().st_mtime_ns for path in models} == models
    expected = {"name": "without", "images": ["images/train/04.png", "images/train/11.png"]}
    assert load_params().augment.memory == expected
    assert "+  memory: {name: without, images: [images/train/04.png, images/train/11.png]}" in done.output
    assert left_out_by(load_params()) == ("images/train/04.png", "images/train/11.png")


def test_nobody_judges_labels_that_the_weights_have_learnt(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    params = load_params()
    params = params.model_copy(update={"augment": params.augment.model_copy(update={"memory": "all"})})
    rows = list(read_columns(Path("data/interim/train"), ("image_sha256",)))
    learnt = {digest for (digest,) in rows[:10]}
    check_inputs()
    judges = train_judges(params, FoldStages(augment, fine_tune), 3, None, learnt)
    assert sorted(row for judge in judges for row in judge.images["train"]) == list(range(10, 18))
    assert "10 of 18 training images are not judged" in capsys.readouterr().err
    with pytest.raises(GraftError, match="have learnt the labels of all training images"):
        train_judges(params, FoldStages(augment, fine_tune), 3, None, {digest for (digest,) in rows})


def test_an_interrupted_training_goes_on_and_what_a_killed_one_left_is_swept(project, monkeypatch):
    monkeypatch.chdir(project)
    left = Path("reports/review/models/.tmp-killed/augmented")
    left.mkdir(parents=True)
    params = load_params()
    params = params.model_copy(update={"augment": params.augment.model_copy(update={"memory": "all"}), "seed": 3})
    fitted = params.fine_tune.model_copy(update={"early_stopping_epochs": 2})
    params = params.model_copy(update={"fine_tune": fitted})

    def stopped(**facts):
        assert facts["fine_tune"].early_stopping_epochs == 2
        fine_tune(**facts, listen=lambda name, report: (_ for _ in ()).throw(KeyboardInterrupt))

    with pytest.raises(KeyboardInterrupt):
        next(train_judges(params, FoldStages(augment, stopped), 2, 2))
    assert not list(Path("reports/review/models").glob(".tmp-*"))
    judge = next(train_judges(params, FoldStages(augment, fine_tune), 2, 2))
    assert read_json(judge.folder / "done.json")["unlearnt"] == []
    assert not list(Path(".resume").glob("review-*"))


def test_a_model_judges_no_class_of_which_it_learnt_no_label(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    classes = ClassMap.read(Path("data/interim/class_map.json"))
    judge = one_judge(Path("models/exported"), ())
    assert any(region.given == 2 for doubt in review([judge], classes, "cpu").doubts for region in doubt.regions)
    found = review([replace(judge, unlearnt=(2,))], classes, "cpu")
    assert all(region.given != 2 for doubt in found.doubts for region in doubt.regions)
    assert "learnt no label of sky" in capsys.readouterr().err


def test_a_number_to_leave_out_that_is_not_there_is_said(project, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(project)
    file = tmp_path / "params.yaml"
    shutil.copy("params.yaml", file)
    before = file.read_bytes()
    params = load_params(file)
    doubts = [Doubt(f"images/{split}/4.png", split, "first", 0, 3.0, 0.1, (), b"") for split in ("val", "train")]
    assert leave_out(Review(doubts[:1], 9), params, file, 5) == []
    assert file.read_bytes() == before
    assert "no more than 0 training images can be left out" in capsys.readouterr().err
    assert leave_out(Review(doubts, 9), params, file, 5)
    assert "no more than 1 training image can be left out" in capsys.readouterr().err
    assert "images/train/4.png" in left_out_by(load_params(file))
    assert leave_out(Review(doubts, 9), load_params(file), file, 1) == []
    assert "leaves these out already" in capsys.readouterr().err
    assert str(Review([], 9)) == "of 9 images none has a label that a model which never saw it contradicts"


def test_a_model_judges_only_what_it_did_not_learn(project, monkeypatch):
    monkeypatch.chdir(project)
    train = {digest for (digest,) in read_columns(Path("data/interim/train"), ("image_sha256",))}
    assert learnt_images("models/exported") == train
    judge = one_judge(Path("models/exported"), train)
    assert {split: len(numbers) for split, numbers in judge.images.items()} == {"train": 0, "val": 6, "test": 4}
    assert run("--model", "models/exported").exit_code == 0
    assert {row["split"] for row in read_table(project)} <= {"val", "test"}
    manifest = pq.read_table("data/interim/manifest.parquet", columns=["image_sha256"])
    everything = set(manifest["image_sha256"].to_pylist())
    with pytest.raises(GraftError, match="has learnt every image that is here"):
        one_judge(Path("models/exported"), everything)


def test_a_memory_of_deliveries_and_a_model_of_other_classes_are_refused(project, monkeypatch, tmp_path):
    monkeypatch.chdir(project)
    params = load_params()
    memory = {"name": "balanced", "new": ["first"], "num_images": 0}
    balanced = params.model_copy(update={"augment": params.augment.model_copy(update={"memory": memory})})
    with pytest.raises(GraftError, match=r"augment\.memory is balanced"):
        left_out_by(balanced)
    other = shutil.copytree("models/exported", tmp_path / "other")
    spec = read_json(other / "spec.json")
    rule = "labels are judged by a model for the same: segmentation of ground, house, sky in red, green, blue"
    for another in ({"class_names": ["ground", "house", "water"]}, {"channels": ["red", "green", "near"]}):
        write_json(other / "spec.json", spec | another)
        refused = run("--model", str(other)).exception
        assert isinstance(refused, GraftError)
        assert rule in str(refused)
    put_memory = read_tree(Path("params.yaml"))
    put(put_memory, {"augment.memory": memory})
    kept = Path("params.yaml").read_bytes()
    write_tree(Path("params.yaml"), put_memory)
    refused = run("--model", "models/exported", "--leave-out", "1").exception
    Path("params.yaml").write_bytes(kept)
    assert "augment.memory is balanced" in str(refused)


def test_a_review_without_its_inputs_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(FILE, "params.yaml")
    Path("dvc.yaml").write_text("stages: {}\n")
    refused = run().exception
    assert isinstance(refused, GraftError)
    assert "run dvc repro augment pretrain-load" in str(refused)
