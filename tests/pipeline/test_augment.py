"""The augment stage: its gate, its files, and the same bytes from every run."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from graft.data.augmentations import POLICIES
from graft.data.augmented import view_files
from graft.data.shards import Row
from graft.data.views.view import open_views
from graft.foundation.class_map import ClassMap
from graft.foundation.content import read_json, write_json
from graft.foundation.errors import GraftError
from graft.models.architectures import build_fresh
from graft.models.saved_model import save_state
from graft.training import impressions
from tests.augmented_samples import row_of, run_augment, write_rows, write_train


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*"))}


@pytest.mark.parametrize("task", ["segmentation", "classification"])
@pytest.mark.parametrize("storage", ["materialised", "online"])
def test_two_runs_in_two_folders_give_the_same_bytes(tmp_path, task, storage):
    for name in ("one", "another/one"):
        write_train(tmp_path / name, task=task, num_samples=3)
        run_augment(tmp_path / name, tmp_path / name / "out", task=task, storage=storage)
    files = digests(tmp_path / "one/out")
    assert files == digests(tmp_path / "another/one/out")
    arrays = {"images.npy", "targets.npy"} if storage == "materialised" else {"rows.arrow"}
    assert set(files) == {"class_counts.npy", "index.json", "policy.json", "preview.png", "statistics.json"} | arrays


def test_the_number_of_workers_changes_no_byte(tmp_path, monkeypatch):
    write_train(tmp_path, num_samples=70)
    run_augment(tmp_path, tmp_path / "by_one", views=2)
    monkeypatch.setattr(view_files, "FEWEST_PIXELS_FOR_A_POOL", 0)
    monkeypatch.setattr(view_files, "num_usable_cores", lambda: 2)
    run_augment(tmp_path, tmp_path / "by_two", views=2)
    assert digests(tmp_path / "by_one") == digests(tmp_path / "by_two")


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_every_policy_goes_through_the_stage(tmp_path, policy):
    write_train(tmp_path, num_samples=2)
    spec = {"name": policy, "parts": ["flip", "weather"]} if policy == "compose" else policy
    metrics = run_augment(tmp_path, tmp_path / "out", policy=spec, resize={"name": "short_side", "size_px": 60})
    assert metrics["num_images"] == 2
    assert metrics["num_views"] == 6
    written = read_json(tmp_path / "out/policy.json")
    assert written["recipe"]["policy"]["name"] == policy
    assert len(written["recipe"]["policy"]) > 1, "every option is written, defaults too"
    assert written["transforms"]["transform"]["transforms"]


def test_data_that_failed_validation_are_refused_with_the_rules_they_break(tmp_path):
    write_train(tmp_path, num_samples=1)
    failed = {
        "name": "exact_duplicates",
        "severity": "critical",
        "success": False,
        "count": 2,
        "rule": "no image twice",
    }
    warned = failed | {"name": "tiny_images", "severity": "warning"}
    write_json(tmp_path / "validation.json", {"passed": False, "expectations": [failed, warned]})
    with pytest.raises(
        GraftError, match=r"did not pass validation \(1\):\n  - exact_duplicates: 2 \(rule: no image twice\)"
    ):
        run_augment(tmp_path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_validation_that_never_ran_is_asked_for(tmp_path):
    write_train(tmp_path, num_samples=1)
    (tmp_path / "validation.json").unlink()
    with pytest.raises(GraftError, match=r"validation.json: file not found.*Remedy: run the stage that writes it"):
        run_augment(tmp_path, tmp_path / "out")


def test_the_sheet_is_drawn_for_one_sample_and_for_more_classes_than_fit_a_line(tmp_path):
    write_train(tmp_path, num_samples=1)
    run_augment(tmp_path, tmp_path / "out", views=1)
    few = cv2.imread(str(tmp_path / "out/preview.png"))
    known = ClassMap.read(tmp_path / "class_map.json")
    names, colors = (known.names * 3)[:30], (known.colors * 3)[:30]
    ClassMap("segmentation", names, colors, tuple(range(30)), False, False, "mask_folder").write(
        tmp_path / "class_map.json"
    )
    run_augment(tmp_path, tmp_path / "more", views=1)
    assert cv2.imread(str(tmp_path / "more/preview.png")).shape[0] > few.shape[0]


def test_the_256th_class_of_a_classifier_is_drawn_in_its_colour_and_not_as_ignored(tmp_path):
    write_train(tmp_path, task="classification", num_samples=1, label=255)
    names = tuple(f"class {k}" for k in range(257))
    for shade in (40, 220):
        colors = tuple((shade if k == 255 else 0, 0, k % 200) for k in range(257))
        classes = ClassMap("classification", names, colors, names, False, False, "image_folder")
        classes.write(tmp_path / "class_map.json")
        run_augment(tmp_path, tmp_path / str(shade), task="classification", views=1)
    one, other = ((tmp_path / shade / "preview.png").read_bytes() for shade in ("40", "220"))
    assert one != other


def test_crops_that_seek_rare_classes_are_told_the_shares_of_all_classes(tmp_path):
    write_train(tmp_path, num_samples=4)
    policy = {"name": "light", "strength": 0.0, "rare_class_pixels": 200, "rare_class_share": 0.05}
    for storage in ("materialised", "online"):
        run_augment(tmp_path, tmp_path / storage, policy=policy, storage=storage, views=2)
    run_augment(tmp_path, tmp_path / "plain", policy=policy | {"rare_class_pixels": 0}, views=2)
    shares = read_json(tmp_path / "online/policy.json")["recipe"]["class_shares"]
    pixels = np.load(tmp_path / "online/class_counts.npy").sum(axis=0)
    assert np.allclose(shares, pixels / pixels.sum())
    stored, online = (open_views(tmp_path / name, "segmentation", num_workers=1) for name in ("materialised", "online"))
    for view in (0, 1):
        for one, two in zip(stored.read(np.arange(4), view), online.read(np.arange(4), view), strict=True):
            assert np.array_equal(one, two)
    rare = np.flatnonzero((pixels > 0) & (pixels < 0.05 * pixels.sum()))
    seen = [np.isin(np.load(tmp_path / name / "targets.npy"), rare).sum() for name in ("materialised", "plain")]
    assert seen[0] > seen[1]
    assert read_json(tmp_path / "plain/policy.json")["recipe"]["class_shares"] == []


def test_a_policy_that_contradicts_itself_or_the_task_is_refused_with_all_that_is_wrong(tmp_path):
    write_train(tmp_path, task="classification", num_samples=1)
    parts = ["flip", {"name": "crop", "rare_class_pixels": 5, "min_scale": 2.0}]
    with pytest.raises(
        GraftError, match=r"cannot be followed \(2\):(.|\n)*parts\[1\]: min_scale 2.0 is larger than"
    ) as why:
        run_augment(tmp_path, tmp_path / "out", task="classification", policy={"name": "compose", "parts": parts})
    assert "augment.policy.parts[1]: rare_class_pixels is for segmentation" in str(why.value)


def test_camvid_goes_through_the_stage(tmp_path, real_data):
    images = sorted((real_data / "camvid/train").glob("*.png"))[:2]
    masks = [real_data / "camvid/trainannot" / path.name for path in images]
    write_train(tmp_path, num_samples=1, image=images[0].read_bytes(), mask=masks[0].read_bytes())
    run_augment(tmp_path, tmp_path / "out", views=2)
    assert cv2.imread(str(tmp_path / "out/preview.png")) is not None


def write_deliveries(folder: Path, *, task: str = "segmentation", num_earlier: int = 6, known: bool = True) -> ClassMap:
    """What `write_train` writes, its last two streets as a delivery of their own, and weights that know classes."""
    write_train(folder, task=task, num_samples=1)
    (folder / "train/first-00000.parquet").unlink()
    (folder / "train").rmdir()
    rows = [row_of(number, task) | {"batch": "first"} for number in range(num_earlier)]
    write_rows(folder / "train", rows + [row_of(number, task) | {"batch": "new"} for number in (90, 91)])
    classes = ClassMap.read(folder / "class_map.json")
    spec = {"name": "lraspp" if task == "segmentation" else "mobilenet_v3"}
    model = build_fresh(task, spec, classes.num_classes, 3)
    (folder / "pretrained").mkdir()
    save_state(folder / "pretrained/weights.safetensors", model.state_dict(), {})
    card = {"model": spec, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    write_json(folder / "pretrained/card.json", card | {"known_classes": list(classes.names) if known else []})
    return classes


def chosen_by(folder: Path, choice: str, out: str = "out", **changes) -> list[str]:
    memory = {"name": "balanced", "new": ["new"], "num_images": 3, "choice": choice}
    parent = "none" if choice == "random" else "pretrained"
    run_augment(folder, folder / out, memory=memory, parent=parent, views=1, **changes)
    return sorted(read_json(folder / out / "memory.json")["first"])


@pytest.mark.parametrize("task", ["segmentation", "classification"])
def test_a_memory_is_chosen_by_the_pretrained_weights_the_same_each_time(tmp_path, task, monkeypatch):
    classes = write_deliveries(tmp_path, task=task)
    resize = {"name": "short_side", "size_px": 48}
    pretrained = impressions.Pretrained.read(tmp_path / "pretrained", classes, resize)
    rows = [Row(**row_of(number, task)) for number in range(6)]
    here = [*impressions.impressions(pretrained, rows, 6)]
    monkeypatch.setattr("graft.foundation.workers.FEWEST_ITEMS_FOR_A_POOL", 1)
    monkeypatch.setattr("graft.foundation.workers.num_usable_cores", lambda: 2)
    elsewhere = [*impressions.impressions(pretrained, rows, 6)]
    assert [one.loss for one in here] == [one.loss for one in elsewhere]
    assert all(np.array_equal(one.features, other.features) for one, other in zip(here, elsewhere, strict=True))
    assert len({one.features.tobytes() for one in here}) == 6
    for choice in ("herding", "loss"):
        assert chosen_by(tmp_path, choice, f"{choice}1", task=task) == chosen_by(
            tmp_path, choice, f"{choice}2", task=task
        )


def test_views_say_which_of_them_are_remembered(tmp_path):
    write_deliveries(tmp_path, num_earlier=3)
    chosen = chosen_by(tmp_path, "random")
    views = open_views(tmp_path / "out", "segmentation")
    assert list(views.remembered) == ["first"]
    assert [views.ids[number] for number in views.remembered["first"]] == chosen
    assert views.num_samples == 5
    run_augment(tmp_path, tmp_path / "all", views=1)
    assert not open_views(tmp_path / "all", "segmentation").remembered
    assert "remembered" not in read_json(tmp_path / "all/index.json")


def test_the_loss_is_that_of_the_classes_the_weights_know():
    logits = np.log(np.float32([[[0.5, 0.25]], [[0.25, 0.25]], [[0.25, 0.5]]]))  # [K, 1, 2]
    target = np.uint8([[0, 1]])
    expected = {(0, 1, 2): -(np.log(0.5) + np.log(0.25)) / 2, (0, 1): -(np.log(2 / 3) + np.log(1 / 2)) / 2}
    expected |= {(0, 2): -np.log(2 / 3), (2,): 0.0, (): 0.0}
    for known, loss in expected.items():
        assert impressions.loss_of(logits, target, known) == pytest.approx(loss, abs=1e-6)
    assert impressions.loss_of(logits, np.uint8([[255, 1]]), (0, 1, 2)) == pytest.approx(-np.log(0.25))
    assert impressions.loss_of(logits[:, 0, 0], np.asarray(2), (0, 1, 2)) == pytest.approx(-np.log(0.25))


def test_a_large_image_is_shrunk_with_its_aspect():
    assert impressions.bounded((600, 900)) == (600, 900)
    height, width = impressions.bounded((4000, 9000))
    assert 990_000 < height * width <= impressions.MOST_PIXELS
    assert width / height == pytest.approx(9 / 4, rel=0.01)
    assert impressions.bounded((1, 4_000_000)) == (1, 2_000_000)


def test_weights_that_know_no_class_choose_by_features_and_not_by_loss(tmp_path):
    write_deliveries(tmp_path, known=False)
    assert len(chosen_by(tmp_path, "herding")) == 3
    with pytest.raises(GraftError, match=r"the pretrained weights know none of the 11 classes.*set choice: herding"):
        chosen_by(tmp_path, "loss", "loss")


def test_a_choice_without_its_weights_is_refused(tmp_path):
    write_deliveries(tmp_path)
    memory = {"name": "balanced", "new": ["new"], "num_images": 3, "choice": "loss"}
    with pytest.raises(GraftError, match=r"augment\.parent is none, with choice: loss"):
        run_augment(tmp_path, tmp_path / "out", memory=memory)
    write_json(tmp_path / "pretrained/card.json", {"mean": [0.5], "std": [0.2], "known_classes": []})
    with pytest.raises(GraftError, match="do not say how to normalise the channels red, green, blue"):
        chosen_by(tmp_path, "herding", "other")
