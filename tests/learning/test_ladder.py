"""The ladder of an adaptation: how long its rungs are, which of them stay, and a score without labels."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from graft.data.images.codec import encode_png
from graft.evaluation.report.training_history import read_curves, read_rungs
from graft.foundation.choices import resolve
from graft.foundation.content import read_json
from graft.foundation.errors import GraftError
from graft.models.saved_model import WEIGHTS_FILE
from graft.training.checkpoint import Checkpoint
from graft.training.state import ValidationResult
from graft.training.strategies import STRATEGIES, without_steps
from graft.training.strategies.adaptation import Adapt
from graft.training.strategies.collapse import CollapseWatch
from graft.training.strategies.ladder import Ladder, ends_of
from graft.training.strategies.semi_supervised import MOST_ANSWERS
from graft.training.strategies.target_score import target_score
from pipeline.pretrain_load import pretrain_load
from tests import tiny_training
from tests.augmented_samples import SIZE, row_of, run_augment, write_rows, write_train
from tests.tiny_strategy import KilledError, digests, run, small_model, training_of

STEPS = ("style", "statistics", "self_training")
PLACES = {"images": "none", "class_map": "class_map.json", "out": "pretrained"}  # of pretrain-load


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_training.prepare(tmp_path_factory.mktemp("streets"), num_unlabelled=5)


def test_rungs_have_their_shares_of_the_epochs_and_one_at_least():
    assert ends_of(5, 0.3, 10) == [3, 5, 6, 8, 10]  # 3, 4.75, 6.5, 8.25, 10
    assert ends_of(3, 0.5, 8) == [4, 6, 8]
    assert ends_of(4, 0.01, 4) == ends_of(4, 0.99, 4) == [1, 2, 3, 4]
    assert ends_of(3, 0.9, 10) == [8, 9, 10]
    assert ends_of(1, 0.3, 5) == [2]
    with pytest.raises(GraftError, match="a ladder of 4 rungs in 3 epochs"):
        Ladder(STEPS, 0.3).begin_epoch(0, 3)


def test_each_rung_takes_one_step_more_and_none_that_was_dropped():
    ladder = Ladder(STEPS, 0.5)
    taken = [sorted(ladder.begin_epoch(epoch, 6)) for epoch in range(6)]
    assert taken == [[], [], [], ["style"], ["statistics", "style"], ["self_training", "statistics", "style"]]
    ladder.dropped.append("style")
    assert ladder.begin_epoch(5, 6) == {"statistics", "self_training"}
    assert [ladder.begin_of(epoch) for epoch in (1, 3, 4, 5, 6)] == [0, 0, 3, 4, 5]
    ladder.leave_out("statistics")
    assert ladder.begin_epoch(5, 6) == {"self_training"}


def trainee_of(*worths):
    bests = [number for number, worth in enumerate(worths) if worth > max(worths[:number], default=0)]
    history = [
        SimpleNamespace(epoch=number + 1, worth=worth, is_best=number in bests, measures={})
        for number, worth in enumerate(worths)
    ]
    best = history[bests[-1]]
    return SimpleNamespace(epoch=len(worths), history=history, best_report=best, return_to_best=lambda: best)


def test_a_rung_stays_if_one_of_its_epochs_is_worth_more_than_all_before(capsys):
    ladder = Ladder(("style", "masked"), 0.34)
    ladder.begin_epoch(0, 6)
    assert ladder.ends == [2, 4, 6]
    for worths in ((0.2,), (0.2, 0.3), (0.2, 0.3, 0.1)):  # the first rung is judged by nothing, and others at their end
        ladder.judge(trainee_of(*worths))
    assert capsys.readouterr().err == ""
    ladder.judge(kept := trainee_of(0.2, 0.3, 0.4, 0.1))
    assert "ladder, epoch 4: style is worth 0.400, and it was 0.300 without it: it stays" in capsys.readouterr().err
    ladder.judge(dropped := trainee_of(0.2, 0.3, 0.4, 0.1, 0.35, 0.39))
    said = "masked is worth 0.390, and it was 0.400 without it: dropped, and back to the weights of epoch 3"
    assert said in capsys.readouterr().err
    assert [trainee.history[-1].measures["rung_kept"] for trainee in (kept, dropped)] == [1, 0]
    assert ladder.dropped == ["masked"]


class Answers:
    """Takes a pixel for class 1 where it is bright; `shift` brightens the half at the left."""

    def __init__(self, shift):
        self.shift, self.model, self.scale = shift, nn.Identity(), torch.ones(1)

    def __call__(self, images):
        bright = images[:, 0].float() - 128
        bright[..., : images.shape[-1] // 2] += self.shift
        return torch.stack([-bright, bright], 1)


def test_the_score_without_labels_by_hand():
    images = torch.zeros(1, 3, 1, 4, dtype=torch.uint8)
    images[..., 2:] = 255
    views = SimpleNamespace(num_samples=1, batches=lambda *_: iter([(images, torch.tensor([[[0, 0, 0, 255]]]))]))

    def score(shift, *shares):
        measurements = ("infrared", "depth", "height")  # of which no colour changes
        return target_score(Answers(shift), views, 1, measurements, np.array(shares), 7)

    # 0 0 1, the last pixel lies beyond the image; mirrored the same
    assert score(0, 2 / 3, 1 / 3) == pytest.approx(1)
    assert score(0, 1.0, 0.0) == pytest.approx(2 / 3)
    # 1 1 1, and mirrored 0 0 1: IoU 0 and 1/3; all is taken for what is half of the labels
    assert score(999, 0.0, 1.0) == pytest.approx(1 / 6)
    assert score(999, 0.5, 0.5) == pytest.approx(1 / 12)


def worth_without_statistics(strategy, held):
    return len(strategy.steps) - 2.0 * ("statistics" in strategy.steps)


def climbing(folder):
    usual = {"task": "segmentation", "epochs": 5, "averaging": {"name": "ema", "decay": 0.9}, "strategy": "adapt"}
    return training_of(folder, small_model("segmentation"), ladder="auto", confidence_threshold=0.3, **usual)


def test_after_the_last_answer_to_a_collapse_no_rung_learns_from_pseudo_labels_and_none_is_judged(
    folder, monkeypatch, capsys
):
    training = climbing(folder)
    strategy, model = training.strategy, training.trainee.model
    strategy.begin_epoch(model, 3, 5)
    assert strategy.steps == {"style", "statistics", "self_training"}
    strategy.num_answers = MOST_ANSWERS
    monkeypatch.setattr(CollapseWatch, "finding", lambda *_: "all is sky")
    capsys.readouterr()
    strategy.end_epoch(trainee := trainee_of(0.1, 0.2, 0.3, 0.2))
    (told,) = capsys.readouterr().err.splitlines()
    assert told.endswith("all is sky; back to the weights of epoch 3, and training goes on without pseudo-labels")
    restored = climbing(folder).strategy
    restored.restore(strategy.state())
    for one in (strategy, restored):
        assert one.steps == {"style", "statistics"}
        one.begin_epoch(model, 4, 5)
        assert one.steps == {"style", "statistics"}
        one.end_epoch(trainee := trainee_of(0.1, 0.2, 0.3, 0.2, 0.1))
    assert "rung_kept" not in trainee.history[-1].measures
    assert capsys.readouterr().err == ""


def test_where_a_rung_is_dropped_the_watch_begins_anew(folder, monkeypatch):
    training = climbing(folder)
    strategy, model = training.strategy, training.trainee.model
    monkeypatch.setattr(CollapseWatch, "finding", lambda *_: None)
    for worths, remembered in (((0.1, 0.2, 0.3, 0.4), 0.9), ((0.1, 0.2, 0.3, 0.2), 0.0)):
        strategy.begin_epoch(model, 3, 5)
        strategy.watch.highest_share = 0.9
        strategy.end_epoch(trainee_of(*worths))
        assert strategy.watch.highest_share == remembered


@pytest.mark.slow
def test_a_killed_climb_ends_in_the_same_bits(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(Adapt, "worth", worth_without_statistics)
    undisturbed = climbing(folder)
    history = run(undisturbed)
    assert undisturbed.strategy.ladder.dropped == ["statistics"]
    assert [report.measures["step.statistics"] for report in history] == [0, 0, 1, 0, 0]
    assert [report.measures.get("rung_kept") for report in history] == [None, 1, 0, 1, 1]
    assert undisturbed.strategy.steps_of_best == {"style", "self_training", "masked"}
    path = tmp_path / "run.checkpoint"
    with pytest.raises(KilledError):
        run(climbing(folder), Checkpoint(path, "run", seconds_between=0), 7)
    resumed = climbing(folder)
    run(resumed, Checkpoint(path, "run", seconds_between=0))
    assert digests(resumed) == digests(undisturbed)
    assert resumed.strategy.steps_of_best == undisturbed.strategy.steps_of_best


def test_an_epoch_is_worth_the_mean_of_val_and_target(folder):
    strategy = climbing(folder).strategy
    strategy.scored["target_score"] = 0.2
    assert strategy.worth(ValidationResult(1.0, 0.6, None)) == pytest.approx(0.4)


def noise(number):
    pixels = np.random.default_rng(number).integers(0, 256, (*SIZE, 3), np.uint8)
    bare = {"mask": None, "mask_sha256": None, "split": "unlabelled"}
    return row_of(number, "segmentation") | bare | {"image": encode_png(pixels)}


@pytest.mark.slow
@pytest.mark.parametrize(("step", "options"), [("statistics", {"statistics": 1.0}), ("style", {"style": "fourier"})])
def test_a_step_that_hurts_is_recognised_and_dropped(tmp_path, capsys, step, options):
    model = {"name": "lraspp", "backbone": "mobilenet_v3_large"}
    write_train(tmp_path)
    write_rows(tmp_path / "unlabelled", [noise(number) for number in range(6)])
    run_augment(tmp_path, tmp_path / "augmented", unlabelled="unlabelled")
    (tmp_path / "pretrained").mkdir()
    source = SimpleNamespace(source={"name": "bundled"}, images="none", part="all", initialisation="library")
    places = {name: tmp_path / path for name, path in PLACES.items()}
    facts = {"task": "segmentation", "seed": 7, "model": model, "runtime": tiny_training.runtime()}
    pretrain_load(pretrain_load=source, **facts, **places)
    off = {"style": "none", "statistics": 0.0, "unlabelled_weight": 0.0, "masked_weight": 0.0}
    climb = {"name": "adapt", "ladder": "auto", "source_share": 0.5, "style_beta": 0.4, "source_only": False}
    reports = []
    settings = {"strategy": climb | off | options, "model": model, "epochs": 4, "schedule": "constant"}
    tiny_training.run(tmp_path, tmp_path / "out", listen=lambda _, report: reports.append(report), **settings)
    assert reports[-1].measures["rung_kept"] == 0
    assert f"{step} is worth" in capsys.readouterr().err
    best = read_json(tmp_path / "out/curves/summary.json")["runs"]["fine_tuned"]["best"]
    assert best["epoch"] <= 2
    assert best["val_score"] == reports[best["epoch"] - 1].val_score


def test_beside_the_adapted_model_stands_the_same_training_without_any_step(folder, tmp_path):
    """It is `supervised`, to the bit; the report tells the rungs of the other from its curves."""
    settings = {"epochs": 3, "warmup_epochs": 0, "schedule": "constant"}
    climbs = {"name": "adapt", "ladder": "auto", "source_share": 0.34, "unlabelled_weight": 0.0, "masked_weight": 0.0}
    found = tiny_training.run(folder, tmp_path / "adapted", strategy=climbs, **settings)
    plain = tiny_training.run(folder, tmp_path / "plain", **settings)
    assert found["source_only.val_mean_iou"] == plain["fine_tuned.val_mean_iou"]
    weights = (tmp_path / "adapted/model/source_only" / WEIGHTS_FILE, tmp_path / "plain/model" / WEIGHTS_FILE)
    assert weights[0].read_bytes() == weights[1].read_bytes()
    rows = read_curves(tmp_path / "adapted/curves")
    rungs = read_rungs(rows)
    assert [(rung["step"], rung["first"], rung["last"]) for rung in rungs] == [
        (None, "1", "1"),
        ("style", "2", "2"),
        ("statistics", "3", "3"),
    ]
    assert [rung["val_score"] for rung in rungs] == [float(row["val_score"]) for row in rows[:3]]
    assert [rung["target_score"] for rung in rungs] == [float(row["target_score"]) for row in rows[:3]]
    worths = [(rung["val_score"] + rung["target_score"]) / 2 for rung in rungs]
    assert [rung["kept"] for rung in rungs] == [None, worths[1] > worths[0], worths[2] > max(worths[:2])]
    assert read_rungs(read_curves(tmp_path / "plain/curves")) == []


def test_no_model_stands_beside_one_that_takes_no_step_or_is_told_to_stand_alone():
    off = {"style": "none", "statistics": 0, "unlabelled_weight": 0, "masked_weight": 0}
    chosen = [resolve(STRATEGIES, {"name": "adapt", **options}, where="here") for options in ({}, off)]
    chosen.append(resolve(STRATEGIES, {"name": "adapt", "source_only": False}, where="here"))
    chosen.append(resolve(STRATEGIES, "mean_teacher", where="here"))
    assert [without_steps(choice) is not None for choice in chosen] == [True, False, False, False]
