"""graft select: who is a candidate, what is measured, how it is ranked, and what it says."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from graft.cli import with_commands
from graft.data.resize import RESIZES
from graft.data.shards import read_rows
from graft.foundation.choices import resolve
from graft.foundation.class_map import ClassMap
from graft.foundation.content import read_json
from graft.foundation.errors import GraftError
from graft.models.architectures import resolve_model
from graft.models.pins import no_download
from graft.params.brief_training import shorten
from graft.params.params_file import load_params
from graft.params.sections import FineTune
from graft.provenance.tracking import mlflow_store, runs
from graft.selection import mlflow_run, page, verification
from graft.selection.candidate_features import _sample, extract_features, load_candidate
from graft.selection.candidates import DOCUMENTED, Candidate, read_candidates
from graft.selection.cost import Cost, LiveBytes
from graft.selection.missing_weights import absence, published_score
from graft.selection.points import _piece, draw_cells, reduce_mask, sample_points
from graft.selection.ranking import RankedCandidate, agreement, agreements, rank, recommendation
from graft.selection.select import Selection, resolve_scores, select
from graft.training.schedules import SCHEDULES, refuse_too_long
from graft.training.strategies import STRATEGIES, refusals
from pipeline.fine_tune import fine_tune
from pipeline.pretrain_load import pretrain_load
from pipeline.recipes import zoo
from tests import tiny_training
from tests.augmented_samples import write_train
from tests.seven_stages import small_params
from tests.tiny_training import prepare

SCENES = {
    "name": "scenes",
    "domain": "day",
    "num_train": 4,
    "num_val": 2,
    "num_test": 2,
    "width_px": 96,
    "height_px": 72,
}
# Accuracy after fine-tuning and scores of ten networks as printed by thuml, Transfer-Learning-Library,
# examples/model_selection/README.md (commit 56ccfd7), and below them the weighted Kendall correlation printed there.
# GoogleNet, Inception V3, ResNet 50, 101, 152, DenseNet 121, 169, 201, MobileNet V2, MNasNet.
CIFAR10 = [96.2, 97.5, 96.8, 97.7, 97.9, 97.2, 97.4, 97.4, 95.7, 96.8]
CALTECH101 = [91.7, 94.3, 91.8, 93.1, 93.2, 91.9, 92.5, 93.4, 89.1, 91.5]
SUN397 = [62.0, 65.7, 64.7, 64.8, 66.0, 62.3, 63.0, 64.7, 60.5, 60.7]
PUBLISHED = {
    "CIFAR10 H-score": (CIFAR10, [5.911, 6.363, 6.567, 6.901, 6.945, 6.210, 6.547, 6.706, 5.928, 6.018], 0.800),
    "CIFAR10 LEEP": (
        CIFAR10,
        [-1.385, -1.259, -1.010, -0.829, -0.838, -1.035, -0.934, -0.888, -1.100, -1.066],
        0.638,
    ),
    "CIFAR10 LogME": (CIFAR10, [0.293, 0.349, 0.388, 0.463, 0.469, 0.302, 0.343, 0.369, 0.291, 0.304], 0.785),
    "Caltech101 H-score": (
        CALTECH101,
        [75.88, 93.73, 91.65, 92.54, 92.91, 75.02, 86.37, 89.90, 75.82, 77.00],
        0.721,
    ),
    "Caltech101 LEEP": (
        CALTECH101,
        [-1.462, -1.119, -1.020, -0.899, -0.875, -0.979, -0.864, -0.914, -1.115, -1.043],
        0.127,
    ),
    "SUN397 H-score": (SUN397, [71.35, 114.21, 110.39, 113.63, 116.51, 72.16, 95.80, 103.09, 75.90, 80.91], 0.918),
    "SUN397 LogME": (SUN397, [1.621, 1.648, 1.638, 1.642, 1.646, 1.614, 1.623, 1.624, 1.617, 1.625], 0.748),
}


@pytest.mark.parametrize("table", PUBLISHED)
def test_the_weighted_kendall_is_the_one_published_for_printed_tables(table):
    accuracies, scores, printed = PUBLISHED[table]
    assert agreement(scores, accuracies) == pytest.approx(printed, abs=5e-4)


def test_the_weighted_kendall_needs_two_that_differ():
    assert agreement([1.0], [0.5]) is None
    assert agreement([1.0, 1.0, 1.0], [0.5, 0.6, 0.7]) is None
    assert agreement([1.0, 2.0, 3.0], [0.1, 0.2, 0.3]) == pytest.approx(1.0)
    assert agreement([3.0, 2.0, 1.0], [0.1, 0.2, 0.3]) == pytest.approx(-1.0)


def write_list(folder: Path, text: str) -> Path:
    file = folder / "candidates.yaml"
    file.write_text(text)
    return file


def listed(folder: Path, *entries: str, task: str = "segmentation") -> list[Candidate]:
    return read_candidates(write_list(folder, f"{task}:\n" + "".join(f"  - {entry}\n" for entry in entries)), task)


def test_a_folder_and_a_file_are_read_alike(tmp_path):
    found = listed(tmp_path, "{name: a, model: lraspp, source: none}")
    assert [one.as_dict() for one in read_candidates(tmp_path, "segmentation")] == [one.as_dict() for one in found]
    assert found[0].is_random


def test_all_that_is_wrong_with_a_list_is_said_at_once(tmp_path):
    entries = [
        "{name: a, model: {name: lrasp}, source: none}",
        "{name: b, model: lraspp, source: {name: torchvison, weights: X}}",
        "{name: c, model: lraspp}",
        "{name: d, model: lraspp, source: none}",
        "{name: d, model: fpn, source: none}",
    ]
    with pytest.raises(GraftError) as raised:
        listed(tmp_path, *entries)
    message = str(raised.value)
    assert "candidates.yaml:2: model has no choice named 'lrasp'" in message
    assert "did you mean 'lraspp'?" in message
    assert "did you mean 'torchvision'?" in message
    assert "candidates.yaml:4: not a candidate (source: Field required)" in message
    assert "two candidates are named d" in message


def test_a_list_that_is_missing_or_of_the_other_task_is_refused(tmp_path):
    with pytest.raises(GraftError, match=r"there is no list of candidates.*make zoo writes one"):
        read_candidates(tmp_path, "segmentation")
    with pytest.raises(GraftError, match="lists no candidates under 'classification'"):
        read_candidates(write_list(tmp_path, "segmentation: []\n"), "classification")


@pytest.mark.parametrize("task", ["segmentation", "classification"])
def test_of_every_documented_candidate_it_is_known_where_its_weights_belong(task, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for candidate in read_candidates(DOCUMENTED, task):
        missing = absence(candidate)
        if candidate.source.name == "torchvision":
            assert missing.startswith("not here: put ")
            assert f"at {tmp_path}/hub/checkpoints/" in missing
            assert 0 < published_score(candidate).value < 1
        elif candidate.source.name == "package":
            assert missing is None or missing.endswith("is not installed (make setup EXTRAS=weights)")
            assert 0.75 < published_score(candidate).value < 0.78
        else:
            assert missing is None


def test_weights_that_are_absent_say_file_digest_and_place(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found = listed(
        tmp_path,
        f"{{name: file, model: lraspp, source: {{name: file, path: {tmp_path}/a.safetensors, sha256: {'ab' * 32}}}}}",
        "{name: coco, model: lraspp, source: {name: torchvision, weights: COCO_WITH_VOC_LABELS_V1}}",
        f"{{name: hub, model: lraspp, source: {{name: timm, weights: resnet18.a1_in1k, revision: {'a' * 40}}}}}",
        "{name: loose, model: lraspp, source: {name: timm, weights: resnet18.a1_in1k}}",
    )
    lines = [absence(candidate) for candidate in found]
    assert lines[0] == f"not here: put a.safetensors (sha256 {'ab' * 32}) at {tmp_path}/a.safetensors"
    assert lines[1].startswith("not here: put lraspp_mobilenet_v3_large-d234d4ea.pth (sha256 d234d4ea…) at ")
    assert lines[2].startswith("not here: put model.safetensors of timm/resnet18.a1_in1k (sha256 unknown) at ")
    assert lines[3] == (
        "not here: its entry needs revision and sha256 of timm/resnet18.a1_in1k; graft pin finds both for the source "
        "in params.yaml, to be copied from there"
    )


def test_a_mask_is_reduced_to_what_most_labelled_pixels_of_a_cell_have():
    mask = np.zeros((17, 24), np.uint8)
    mask[:8, 8:16] = 2
    mask[0:2, 8:16] = 255  # a quarter of the cell
    mask[:8, 16:21] = 255  # most of the cell
    mask[8:16, 0:8] = np.where(np.arange(8) < 5, 1, 0)
    assert reduce_mask(mask, 3).tolist() == [[0, 2, 255], [1, 0, 0]]


def test_pixels_are_drawn_evenly_over_the_classes_of_an_image():
    cells = np.array([[0] * 10, [1] * 10, [2] + [255] * 9], np.uint8)
    places, labels = draw_cells(cells, 3, np.random.default_rng(0))
    assert np.bincount(labels).tolist() == [3, 3, 1]
    assert places[-1].tolist() == [20.0, 4.0]
    rows, columns = (places // 8).astype(int).T
    assert np.array_equal(cells[rows, columns], labels)


def test_of_an_image_with_too_many_pixels_a_window_is_looked_at(workspace):
    row, classes = next(read_rows(workspace / "train")), ClassMap.read(workspace / "class_map.json")
    resize = resolve(RESIZES, {"name": "short_side", "size_px": 144}, where="preprocess.resize")
    whole, mask = _piece(row, classes, resize, 10**6, 7)
    assert whole.shape == (144, 192, 3)
    window, part = _piece(row, classes, resize, 5000, 7)
    assert window.shape[:2] == part.shape
    assert 4000 < part.size <= 5000
    assert np.array_equal(_piece(row, classes, resize, 5000, 7)[0], window)
    height, width = part.shape
    corners = [(y, x) for y in range(145 - height) for x in range(193 - width) if mask[y, x] == part[0, 0]]
    assert any(
        np.array_equal(whole[y : y + height, x : x + width], window)
        and np.array_equal(mask[y : y + height, x : x + width], part)
        for y, x in corners
    )


@pytest.mark.parametrize(("stride", "padding"), [(8, 0), (8, 16), (4, 0)])
def test_features_are_those_of_the_cell_whatever_the_stride_and_padding(stride, padding):
    height, width = 32, 48
    ramp_y, ramp_x = np.mgrid[0 : (height + padding) // stride, 0 : width // stride]
    layer = torch.from_numpy(np.stack([(ramp_y + 0.5) * stride, (ramp_x + 0.5) * stride])).float()[None]
    place = torch.tensor([[12.0, 20.0], [4.0, 44.0]])
    found = _sample(layer, place, (height + padding, width))
    assert torch.allclose(found, place, atol=1e-4)


def test_live_bytes_are_those_alive_at_once():
    first = torch.zeros(1000)
    with LiveBytes() as live:
        second = first + 1
        third = second + 1
        view = third[:10]
        del second
        third.add_(1)
        fourth = third * 2
    assert (live.most, live.now) == (8000, 8000)
    assert view is not fourth


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    """Shards, views and a class map of a few streets, laid out as a project has them."""
    folder = prepare(tmp_path_factory.mktemp("streets"), num_samples=8, views=1)
    (folder / "broken.safetensors").write_bytes(b"nothing")
    return folder


def scored(workspace: Path, cache: Path, *entries: str, scores: tuple[str, ...] = ("logme", "leep")):
    found = listed(cache.parent, *entries)
    params = small_params(SCENES)
    return select(found, resolve_scores(scores, params.task), params, no_download, interim=workspace, cache=cache)


RANDOM = "{name: random, model: {name: lraspp}, source: {name: none}}"
BUNDLED = "{name: bundled, model: {name: lraspp}, source: {name: bundled}}"


@pytest.fixture(scope="module")
def ranked(workspace, tmp_path_factory) -> tuple[Path, Selection]:
    """A cache of features, and what became of candidates that can be scored and of two that cannot."""
    folder = tmp_path_factory.mktemp("ranked")
    absent = f"{{name: absent, model: lraspp, source: {{name: file, path: {folder}/no.safetensors}}}}"
    path = workspace / "broken.safetensors"
    broken = f"{{name: broken, model: lraspp, source: {{name: file, path: {path}, sha256: {'a' * 64}}}}}"
    return folder / "features", scored(workspace, folder / "features", RANDOM, BUNDLED, absent, broken)


def test_weights_that_know_streets_come_first_and_none_last(ranked):
    _, found = ranked
    assert [one.candidate.name for one in found.ordered] == ["bundled", "random"]
    bundled, random = found.ordered
    assert bundled.scores["logme"] > random.scores["logme"]
    assert bundled.scores["leep"] < 0
    assert "leep" not in random.scores
    assert bundled.cost == random.cost
    assert bundled.cost.memory_bytes > bundled.cost.num_parameters * 4
    assert set(found.unusable) == {"absent", "broken"}
    assert found.unusable["absent"].startswith("not here: put no.safetensors (sha256 unknown) at ")
    assert "cannot be used" in found.unusable["broken"]
    assert "Take bundled: it is the best by logme, with" in found.recommendation


def test_features_are_computed_once_and_kept(workspace, ranked):
    folder, first = ranked
    kept = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(kept) == 2
    second = scored(workspace, folder, BUNDLED, RANDOM)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == kept
    assert [one.scores for one in first.ordered] == [one.scores for one in second.ordered]


def test_what_cannot_be_scored_is_refused(workspace, tmp_path):
    with pytest.raises(GraftError, match=r"no training images yet.*dvc repro validate"):
        scored(tmp_path, tmp_path / "features", RANDOM)
    with pytest.raises(GraftError, match=r"no candidate can be scored \(1\):\n  - a: not here: put no.pth"):
        scored(workspace, tmp_path / "features", "{name: a, model: lraspp, source: {name: file, path: no.pth}}")
    with pytest.raises(GraftError, match=r"not every candidate has one of these scores: random come"):
        scored(workspace, tmp_path / "features", RANDOM, BUNDLED, scores=("leep",))
    with pytest.raises(GraftError, match="did you mean 'logme'"):
        resolve_scores(["logm"], "segmentation")


def test_channels_that_no_weights_know_are_normalised_by_the_training_images_without_any_views(
    workspace, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "interim").mkdir()
    (tmp_path / "interim/train").symlink_to(workspace / "train")
    known = ClassMap.read(workspace / "class_map.json")
    replace(known, channels=("red", "green", "infrared"), max_value=255).write(tmp_path / "interim/class_map.json")
    found = scored(tmp_path / "interim", tmp_path / "features", RANDOM, scores=("logme",))
    assert [one.candidate.name for one in found.ordered] == ["random"]
    classes = ClassMap.read(tmp_path / "interim/class_map.json")
    points = sample_points(workspace / "train", classes, small_params(SCENES), num_images=9, pixels_per_class=1)
    spec = load_candidate(listed(tmp_path, RANDOM)[0], points, no_download).spec
    of_all = read_json(workspace / "augmented/statistics.json")
    assert spec.mean == pytest.approx((0.485, 0.456, of_all["mean"][2]))
    assert spec.std == pytest.approx((0.229, 0.224, of_all["std"][2]))


def test_one_class_alone_and_images_without_target_are_refused(tmp_path):
    params, classes = small_params(SCENES), ClassMap
    write_train(tmp_path / "one", task="classification", num_samples=2, label=0)
    write_train(tmp_path / "none", task="classification", num_samples=2, label=None)
    for folder, message in (("one", "fewer than two classes"), ("none", "an image of split train has no (mask|label)")):
        known = classes.read(tmp_path / folder / "class_map.json")
        with pytest.raises(GraftError, match=message):
            sample_points(tmp_path / folder / "train", known, params, num_images=9, pixels_per_class=1)


def test_whole_images_are_the_points_of_a_classifier(tmp_path):
    write_train(tmp_path, task="classification", num_samples=4)
    params = small_params(SCENES).model_copy(update={"task": "classification"})
    points = sample_points(
        tmp_path / "train", ClassMap.read(tmp_path / "class_map.json"), params, num_images=3, pixels_per_class=2
    )
    assert points.labels.tolist() == [0, 1, 1]
    found = listed(
        tmp_path,
        "{name: tokens, model: {name: timm, variant: mobilenetv3_small_050}, source: none}",
        "{name: maps, model: {name: mobilenet_v3, variant: small}, source: none}",
        "{name: named, model: {name: resnet, variant: resnet18}, source: none}",
        task="classification",
    )
    widths = {}
    for one in found:
        loaded = load_candidate(one, points, no_download)
        widths[one.name] = extract_features(
            loaded, points, one.name, params.runtime, cache=tmp_path / "kept"
        ).features.shape
    assert widths == {"tokens": (3, 1024), "maps": (3, 576), "named": (3, 512)}


@pytest.mark.parametrize(
    ("model", "width"),
    [
        ({"name": "plain_fcn", "width": 8, "depth": 2}, 16),
        ({"name": "fpn", "encoder": "tu-mobilenetv3_small_050"}, None),
    ],
)
def test_every_map_of_a_segmenter_but_the_image_counts_and_alike(workspace, tmp_path, model, width):
    params = small_params(SCENES)
    classes = ClassMap.read(workspace / "class_map.json")
    points = sample_points(workspace / "train", classes, params, num_images=2, pixels_per_class=1)
    one = Candidate("a", resolve_model("segmentation", model), listed(tmp_path, RANDOM)[0].source)
    found = extract_features(
        load_candidate(one, points, no_download), points, "a", params.runtime, cache=tmp_path / "kept"
    ).features
    assert found.shape == (len(points.labels), width or found.shape[1])
    assert math.isclose(float(np.mean(found[:, :16] ** 2)), 1.0, rel_tol=1e-3) or width is None
    assert np.isfinite(found).all()


def test_the_best_are_fine_tuned_briefly_and_compared(workspace, ranked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    strategy = {"name": "supervised", "unfreeze": "head_first", "head_epochs": 4}
    changes = {"warmup_epochs": 1, "strategy": strategy, "schedule": {"name": "step", "every_epochs": 30}}
    params = small_params(SCENES, **{f"fine_tune.{key}": value for key, value in changes.items()})
    found = copy.deepcopy(ranked[1])
    place = verification.Workspace(workspace / "augmented", workspace / "train", workspace / "class_map.json")
    place.check()
    stages = verification.Stages(pretrain_load, fine_tune)
    found.compare(verification.verify(found.ordered, params, 1, stages, place, folder=tmp_path / "verified"))
    bundled, random = found.ordered
    assert bundled.verified > random.verified
    assert set(found.agreements) == {"logme", "mean rank", "baseline"}
    assert list(found.agreements.values()) == pytest.approx([1, 1, 1])
    assert "The brief fine-tuning agrees." in found.recommendation
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "verified").iterdir()}
    verification.verify(found.ordered, params, 1, stages, place, folder=tmp_path / "verified")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "verified").iterdir()} == kept
    page.write_page(found, tmp_path / "page")
    text = (tmp_path / "page/selection.md").read_text()
    assert (
        "Fine-tuning is for 1 epoch here, as fine_tune in params.yaml says except for what is longer: "
        "warmup_epochs: 0; schedule: cosine for step; unfreeze: none for head_first.\n"
    ) in text
    assert "Weighted Kendall correlation with fine-tuning: logme 1.00, mean rank 1.00" in text
    assert json.loads((tmp_path / "page/selection.json").read_text())["candidates"][0]["name"] == "bundled"
    assert (tmp_path / "page/selection.png").stat().st_size > 1000
    assert "FINE-TUNED" in page.as_text(found)


@pytest.mark.parametrize(
    ("strategy", "epochs", "brief"),
    [
        ({"name": "supervised", "train": "head"}, 3, {"name": "supervised", "train": "head"}),
        ("supervised", 1, "supervised"),
        ({"unfreeze": "head_first", "head_epochs": 2}, 3, {"unfreeze": "head_first", "head_epochs": 2}),
        (
            {"unfreeze": "head_first", "head_epochs": 4, "layer_decay": 0.8},
            3,
            {"unfreeze": "head_first", "layer_decay": 0.8},
        ),
        ({"unfreeze": "gradual", "unfreeze_every_epochs": 2}, 3, {"unfreeze": "head_first"}),
        ({"unfreeze": "gradual", "l2_sp_alpha": 0.1}, 1, {"unfreeze": "none", "l2_sp_alpha": 0.1}),
    ],
)
@pytest.mark.parametrize(
    ("schedule", "is_too_long"),
    [
        ("poly", False),
        ({"name": "multi_step", "milestones": [0.5]}, False),
        ({"name": "multi_step", "milestones": [20, 30]}, True),
        ({"name": "step", "every_epochs": 10}, True),
        ({"name": "plateau", "patience_epochs": 4}, True),
        ({"name": "cosine_restarts", "first_epochs": 5}, True),
    ],
)
def test_what_does_not_fit_into_few_epochs_is_made_to_and_said(strategy, epochs, brief, schedule, is_too_long):
    strategy, brief = ({"name": "supervised", **s} if isinstance(s, dict) else s for s in (strategy, brief))
    section = tiny_training.section(strategy=strategy, schedule=schedule, epochs=40, warmup_epochs=1, baseline=True)
    found, said = shorten(section, epochs)
    assert found.strategy == brief
    assert found.schedule == ("cosine" if is_too_long else schedule)
    assert ("schedule: cosine for " in said) == is_too_long
    assert ("unfreeze: " in said) == (strategy != brief)
    assert (" except " in said) == (is_too_long or strategy != brief or epochs == 1)
    assert (found.epochs, found.baseline) == (epochs, False)
    checked = FineTune(**found.model_dump())
    assert not refusals(resolve(STRATEGIES, checked.strategy, where="x").options, epochs=epochs)
    refuse_too_long(resolve(SCHEDULES, checked.schedule, where="x"), epochs, checked.warmup_epochs)


@pytest.mark.parametrize(
    ("written", "brief"), [("adapt", {}), ({"name": "adapt", "statistics": 0.2}, {"statistics": 0.2})]
)
def test_a_brief_training_leaves_out_what_adapt_is_compared_with(written, brief):
    found, _ = verification.shorten(tiny_training.section(strategy=written), 2)
    assert found.strategy == {"name": "adapt", **brief, "source_only": False}


def test_candidates_are_no_parents():
    section = tiny_training.section(strategy={"name": "lwf", "weight": 2.0, "unfreeze": "gradual"}, epochs=9)
    found, said = shorten(section, 3)
    assert found.strategy == {"name": "supervised", "unfreeze": "head_first"}
    assert "strategy: supervised for lwf; unfreeze: head_first, head_epochs: 1 for gradual" in said


@pytest.mark.parametrize(
    "strategy", [{"name": "prune", "fraction": 0.5, "rounds": 4}, {"name": "sparsify", "sparsity": 0.9}]
)
def test_candidates_stay_whole(strategy):
    section = tiny_training.section(strategy={**strategy, "backbone_rate_factor": 0.1}, epochs=9)
    found, said = shorten(section, 2)
    assert found.strategy == {"name": "supervised", "backbone_rate_factor": 0.1}
    assert f"strategy: supervised for {strategy['name']}" in said


def test_views_that_would_grow_more_often_than_there_are_epochs_begin_larger():
    section = tiny_training.section(sizes=[0.5, 0.75, 1.0], epochs=9)
    for epochs, sizes in ((3, [0.5, 0.75, 1.0]), (2, [0.75, 1.0]), (1, [1.0])):
        found, said = shorten(section, epochs)
        assert found.sizes == sizes
        assert (f"sizes: {sizes}" in said) == (epochs < 3)


def test_verifying_without_views_names_what_to_run(tmp_path):
    with pytest.raises(GraftError, match=r"not here: .*index.json.*dvc repro augment"):
        verification.Workspace(tmp_path, tmp_path, tmp_path / "class_map.json").check()


def made_up(tmp_path: Path, **rows: tuple[dict[str, float], float, float | None]) -> list[RankedCandidate]:
    """Candidates with these scores, latencies and verified values; a name with `random` has no weights."""
    found = []
    for name, (scores, latency_ms, verified) in rows.items():
        source = "none" if "random" in name else "bundled"
        one = listed(tmp_path, f"{{name: {name}, model: lraspp, source: {source}}}")[0]
        found.append(RankedCandidate(one, Cost(1000, 10, latency_ms, 100), None, scores, verified=verified))
    return found


def test_the_order_is_that_of_the_mean_rank_over_what_all_have(tmp_path):
    names = ["logme", "h_score", "leep"]
    rows = made_up(
        tmp_path,
        a=({"logme": 1.0, "h_score": 5.0, "leep": -1.0}, 10.0, 0.5),
        b=({"logme": 3.0, "h_score": 4.0}, 30.0, 0.7),
        random=({"logme": 0.0, "h_score": 1.0}, 1.0, None),
        c=({"logme": 4.0, "h_score": 3.0, "leep": -0.1}, 30.0, 0.6),
    )
    ordered = rank(rows, names)
    assert [(one.candidate.name, one.mean_rank) for one in ordered] == [
        ("a", 2.0),
        ("b", 2.0),
        ("c", 2.0),
        ("random", 4.0),
    ]
    assert ordered[-1].baseline_rank == 4
    text = recommendation(ordered, names)
    assert "Take a: it is the best by h_score, with a mean rank of 2.0 over 2 scores of 4 candidates." in text
    assert "The scores do not separate it from b (2.0)." in text
    assert "fine-tuned briefly, b came out best (0.700 against 0.500): prefer it." in text
    assert set(agreements(ordered, names)) == {"logme", "h_score", "mean rank", "baseline"}


def test_a_faster_one_is_mentioned_and_a_random_best_is_called_by_its_name(tmp_path):
    rows = made_up(
        tmp_path,
        slow=({"logme": 3.0}, 90.0, None),
        fast=({"logme": 2.0}, 30.0, None),
        third=({"logme": 1.0}, 10.0, None),
        fourth=({"logme": 0.5}, 10.0, None),
    )
    assert "Where time counts, fast (number 2) is 3.0 times as fast." in recommendation(
        rank(rows, ["logme"]), ["logme"]
    )
    rows = made_up(tmp_path, random=({"logme": 3.0}, 90.0, None), other=({"logme": 2.0}, 90.0, None))
    assert "those of the others do not help" in recommendation(rank(rows, ["logme"]), ["logme"])


def test_the_command_ranks_what_a_project_has(workspace, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRAFT_TRACKING", "off")
    for name in ("train", "class_map.json"):
        (tmp_path / "data/interim").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data/interim" / name).symlink_to(workspace / name)
    (tmp_path / "dvc.yaml").touch()
    repository = Path(__file__).resolve().parents[2]
    text = (repository / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("num_threads: 2", "num_threads: 1"))
    file = write_list(tmp_path, f"segmentation:\n  - {RANDOM}\n  - {BUNDLED}\n")
    done = CliRunner().invoke(with_commands(), ["select", str(file), "--scores", "logme", "--images", "4"])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].split()[:3] == ["RANK", "CANDIDATE", "MEAN"]
    assert lines[1].split()[:2] == ["1", "bundled"]
    assert "Take bundled: it is the best by logme" in done.stdout
    assert (tmp_path / "reports/selection/selection.json").is_file()
    monkeypatch.setattr(verification.Workspace, "check", lambda _: None)
    (tmp_path / "reports/selection/selection.json").unlink()
    done = CliRunner().invoke(with_commands(), ["select", str(file), "--scores", "logme", "--verify", "1"])
    assert isinstance(done.exception, GraftError)  # there is nothing to fine-tune on, and the ranking is there
    assert "Take bundled: it is the best by logme" in done.stdout
    assert (tmp_path / "reports/selection/selection.json").is_file()
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GraftError, match=r"not here: data/augmented/index.json.*dvc repro augment"):
        CliRunner().invoke(with_commands(), ["select", str(file), "--verify", "1"], catch_exceptions=False)


def test_a_selection_is_logged_once_and_a_silent_server_is_a_warning(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GRAFT_TRACKING", raising=False)
    rows = made_up(tmp_path, a=({"logme": 3.0}, 90.0, 0.5), b=({"logme": 2.0}, 30.0, 0.4))
    facts = {"task": "segmentation", "num_points": 9, "num_images": 3, "height_px": 4, "width_px": 5}
    found = Selection(rank(rows, ["logme"]), {}, ["logme"], facts | {"device": "cpu", "num_threads": 1})
    found.compare("as params.yaml says")
    page.write_page(found, tmp_path / "page")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    mlflow_run.log_or_warn(found, tmp_path / "page")
    assert "graft: warning: " in capsys.readouterr().err
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    for _ in range(2):
        mlflow_run.log_or_warn(found, tmp_path / "page")
    client = mlflow_store.client()
    (run,) = runs.search_runs(client, {})
    assert run.data.params["recommended"] == "a"
    assert run.data.metrics["a.logme"] == 3.0
    assert run.data.metrics["weighted_kendall.logme"] == 1.0
    assert {item.path for item in client.list_artifacts(run.info.run_id)} == {
        "selection.json",
        "selection.md",
        "selection.png",
    }


def test_the_zoo_plans_nine_candidates_whose_params_hold(tmp_path):
    plans = zoo.make_plans("full")
    assert len(plans) == len(zoo.make_plans("tiny")) == 9
    for name in ("lraspp-day", "unet-mobilenetv3-small-day-quarter", "fpn-mobilenetv3-small-mixed"):
        zoo.write_params(plans[name], tmp_path / f"{name}.yaml")
    whole = load_params(tmp_path / "lraspp-day.yaml")
    quarter = load_params(tmp_path / "unet-mobilenetv3-small-day-quarter.yaml")
    mixed = load_params(tmp_path / "fpn-mobilenetv3-small-mixed.yaml")
    assert quarter.fine_tune.epochs * 4 == whole.fine_tune.epochs
    assert quarter.ingest == whole.ingest != mixed.ingest
    assert whole.pretrain_load.source == {"name": "none"}
    with pytest.raises(GraftError, match=r"GRAFT_ZOO_SCALE is 'huge'. Rule: it is one of full, tiny"):
        zoo.make_plans("huge")


def test_two_zoos_are_not_made_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "WORK", tmp_path / "build/zoo")
    with zoo.lock_zoo(), pytest.raises(GraftError, match="another make zoo is running"), zoo.lock_zoo():
        pass


def test_the_list_of_the_zoo_holds_what_is_whole_and_the_controls(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(zoo, "ZOO", tmp_path / "zoo")
    plans = zoo.make_plans("tiny")
    folder = tmp_path / "zoo/lraspp-day"
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"weights")
    (folder / "metrics.json").write_text('{"mean_iou": 0.5}')
    monkeypatch.setattr(zoo, "WORK", Path(__file__).resolve().parents[2])
    zoo.write_json(folder / "card.json", zoo.make_card("lraspp-day", plans["lraspp-day"], folder))
    assert zoo.is_finished("lraspp-day", plans["lraspp-day"])
    assert not zoo.is_finished("lraspp-day", zoo.make_plans("full")["lraspp-day"])
    zoo.write_candidates(["lraspp-day"])
    found = read_candidates(tmp_path / "zoo", "segmentation")
    assert [one.name for one in found] == ["lraspp-day", *(f"{name}-random" for name in zoo.ARCHITECTURES)]
    assert published_score(found[0]).value == 0.5
    assert absence(found[0]) is None
    (folder / "weights.safetensors").write_bytes(b"other")
    assert not zoo.is_finished("lraspp-day", plans["lraspp-day"])
    (folder / "weights.safetensors").unlink()
    assert absence(found[0]).endswith(" at zoo/lraspp-day/weights.safetensors")
