"""Learning from unlabelled images: losses and thresholds by hand, the order of batches, collapse, and the same bits."""

from __future__ import annotations

import csv
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from graft.data.views.view import UNLABELLED_VIEWS, open_views
from graft.foundation.class_map import RGB
from graft.foundation.content import read_json
from graft.foundation.errors import GraftError
from graft.training.checkpoint import Checkpoint
from graft.training.strategies import LEARN_WITHOUT_LABELS, TASKS
from graft.training.strategies.collapse import CollapseWatch
from graft.training.strategies.flex_match import flexible_thresholds
from graft.training.strategies.mean_teacher import ramp_up, squared_distance
from graft.training.strategies.semi_supervised import MOST_ANSWERS, pseudo_label_loss, resting_statistics
from graft.training.strategies.uni_match import drop_channels
from graft.training.strategies.unlabelled_batches import UnlabelledBatch, UnlabelledBatches
from graft.training.strong_colours import change_colours
from tests import tiny_training
from tests.tiny_strategy import KilledError, digests, run, small_model, training_of

EMA = {"name": "ema", "decay": 0.9}
CPU = torch.device("cpu")
# The options that leave unlabelled images out
OFF = {name: {"unlabelled_weight": 0.0} for name in LEARN_WITHOUT_LABELS}
OFF["adapt"] = {"unlabelled_weight": 0.0, "masked_weight": 0.0, "style": "none", "statistics": 0.0}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    def make(task):
        return tiny_training.prepare(tmp_path_factory.mktemp(task), task, num_unlabelled=5)

    return {task: make(task) for task in ("segmentation", "classification")}


def task_of(name):
    return "classification" if "classification" in TASKS[name] else "segmentation"


def training(folders, name, **changes):
    task = task_of(name)
    usual = {"task": task, "epochs": 2, "batch_size": 3, "averaging": EMA, "strategy": name}
    return training_of(folders[task], small_model(task), **usual | changes)


# losses


def test_the_loss_of_pseudo_labels_by_hand():
    logits = torch.tensor([[math.log(3), 0.0], [0.0, math.log(4)]])
    assert pseudo_label_loss(logits, torch.tensor([0, 255])) == pytest.approx(-math.log(3 / 4) / 2)
    assert pseudo_label_loss(logits, torch.tensor([0, 1])) == pytest.approx((-math.log(3 / 4) - math.log(4 / 5)) / 2)
    masks = logits.T.reshape(1, 2, 1, 2)  # the same two answers as pixels of one image
    assert pseudo_label_loss(masks, torch.tensor([[[0, 255]]])) == pytest.approx(-math.log(3 / 4) / 2)
    assert pseudo_label_loss(logits, torch.tensor([255, 255])) == 0


def test_the_distance_of_answers_by_hand():
    one, other = torch.tensor([[0.8, 0.2], [1.0, 0.0]]), torch.tensor([[0.5, 0.5], [0.0, 1.0]])
    assert squared_distance(one, other, torch.tensor([True, True])) == pytest.approx((0.09 + 0.09 + 2) / 2)
    assert squared_distance(one, other, torch.tensor([True, False])) == pytest.approx(0.18)
    assert squared_distance(one, other, torch.tensor([False, False])) == 0


def test_the_weight_rises_as_the_paper_says():
    assert [ramp_up(epoch, 4) for epoch in (0, 2, 4, 9)] == pytest.approx([math.exp(-5), math.exp(-1.25), 1, 1])
    assert ramp_up(0, 0) == 1


def test_thresholds_of_flex_match_by_hand():
    taken_for = torch.tensor([0, 0, 0, 0, 1, 1, -1])  # β = 4/4, 2/4, 0/4
    assert flexible_thresholds(taken_for, 3, 0.9).tolist() == pytest.approx([0.9, 0.5 / 1.5 * 0.9, 0])
    begun = torch.tensor([-1] * 8 + [0, 0])  # most are taken for nothing: β = 2/8, 0
    assert flexible_thresholds(begun, 2, 0.8).tolist() == pytest.approx([0.25 / 1.75 * 0.8, 0])
    assert flexible_thresholds(torch.tensor([-1]), 2, 0.8).tolist() == [0, 0]


def test_flex_match_remembers_what_was_taken_for_which_class_with_confidence(folders):
    strategy = training(folders, "flex_match").strategy
    answers = torch.tensor([[0.97, 0.03], [0.4, 0.6], [0.04, 0.96]])
    strategy.teach = lambda _: answers
    weak = UnlabelledBatch(torch.zeros(3), torch.ones(3, dtype=torch.bool), np.array([4, 0, 2]))
    assert strategy.pseudo_labels(weak).tolist() == [0, 1, 1]  # no image was taken for anything: any answer will do
    assert strategy.taken_for.tolist() == [-1, -1, 1, -1, 0]
    # 3 images for none, 1 for each class: β = 1/3, M = 1/5
    answers[1] = torch.tensor([0.81, 0.19])
    assert strategy.pseudo_labels(weak).tolist() == [0, 0, 1]


def test_the_loss_of_uni_match_is_half_features_and_a_quarter_of_each_strong_view(folders, monkeypatch):
    strategy = training(folders, "uni_match").strategy
    targets = torch.zeros(2, 4, 4, dtype=torch.long)
    monkeypatch.setattr(strategy, "pseudo_labels", lambda weak: targets)
    monkeypatch.setattr(strategy, "strong_view", lambda images, labels, number: (images + number + 1, labels))
    strategy.trainee = SimpleNamespace(model=small_model("segmentation"))

    def learn(images):  # the probability of the class is 1/2 for the weak view, 1/3 and 1/5 for the strong ones
        odds = torch.tensor([1.0, 2.0, 4.0])[images[:, 0, 0, 0].long()]
        return torch.stack([torch.zeros_like(odds), odds.log()], 1)[..., None, None].expand(-1, 2, 4, 4)

    monkeypatch.setattr(strategy, "learn", learn)
    weak = UnlabelledBatch(torch.zeros(2, 3, 4, 4), torch.ones(2, 4, 4, dtype=torch.bool), np.arange(2))
    expected = math.log(2) / 2 + math.log(3) / 4 + math.log(5) / 4
    assert strategy.unlabelled_loss(weak) == pytest.approx(expected)


def test_pseudo_labels_are_accepted_where_the_teacher_is_sure_and_the_image_is(folders):
    strategy = training(folders, "fix_match", confidence_threshold=0.8).strategy
    strategy.teach = lambda _: torch.tensor([[[[0.9, 0.7, 0.1]], [[0.1, 0.3, 0.9]]]])
    inside = torch.tensor([[[True, True, False]]])
    labels = strategy.pseudo_labels(UnlabelledBatch(torch.zeros(1), inside, np.arange(1)))
    assert labels.tolist() == [[[0, 255, 255]]]
    measures = strategy.measures()
    assert measures["accepted_share"] == 0.5
    assert measures["pseudo_label.background"] == 1


# views and batches


def test_a_round_shows_every_image_once_and_the_number_of_a_batch_is_all_it_takes(folders):
    views = open_views(folders["segmentation"] / "augmented" / UNLABELLED_VIEWS, "segmentation")
    batches = UnlabelledBatches(views, 7, 2, CPU)
    seen = np.concatenate([batches.take(batch, views.size).numbers for batch in range(5)])
    assert sorted(seen[:5]) == sorted(seen[5:]) == [0, 1, 2, 3, 4]
    assert seen[:5].tolist() != seen[5:].tolist()
    again = UnlabelledBatches(views, 7, 2, CPU).take(4, views.size)
    assert torch.equal(again.images, batches.take(4, views.size).images)
    number, rounds = again.numbers[0], batches.numbers(4)[0]
    assert rounds.tolist() == [1, 1]
    images, insides = views.read(np.array([number]), 1)  # the second round shows the second view
    assert torch.equal(again.images[0], torch.from_numpy(images[0]).permute(2, 0, 1))
    assert torch.equal(again.inside[0], torch.from_numpy(insides[0]) == 0)
    assert batches.take(0, (32, 40)).images.shape == (2, 3, 32, 40)


def test_strong_views_change_colours_and_move_nothing():
    generator = torch.Generator().manual_seed(1)
    flat = torch.randint(0, 256, (6, 5, 1, 1), generator=generator, dtype=torch.uint8).expand(6, 5, 16, 16)
    torch.manual_seed(3)
    changed = change_colours(flat, (*RGB, "infrared", "depth"))
    assert (changed == changed[..., :1, :1]).all()
    assert torch.equal(changed[:, 3:], flat[:, 3:])
    assert (changed[:, :3] != flat[:, :3]).any(dim=(1, 2, 3)).sum() >= 3
    torch.manual_seed(3)
    assert torch.equal(change_colours(flat, (*RGB, "infrared", "depth")), changed)
    assert torch.equal(change_colours(flat, ("infrared", "depth")), flat)


def test_half_of_the_channels_are_dropped_and_the_others_doubled():
    features = {"low": torch.ones(2, 400, 3, 3), "tokens": torch.ones(2, 5)}
    dropped = drop_channels(nn.Identity(), None, features)
    assert set(dropped["low"].unique().tolist()) == {0, 2}
    assert (dropped["low"] == dropped["low"][..., :1, :1]).all()
    assert 0.4 < (dropped["low"] == 0).float().mean() < 0.6
    assert torch.equal(dropped["tokens"], features["tokens"])


def test_unlabelled_images_move_no_statistics():
    norm = nn.BatchNorm2d(2)
    model = nn.Sequential(norm).train()
    images = torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1).expand(2, 2, 1, 1)
    with resting_statistics(model):
        normalised = model(images)
    assert normalised[:, 0, 0, 0].tolist() == pytest.approx([-1, 1], abs=1e-4)
    assert (norm.running_mean.tolist(), int(norm.num_batches_tracked)) == ([0, 0], 0)
    model(images)
    assert int(norm.num_batches_tracked) == 1


# collapse


def reports(*scores):
    best = max(scores)
    return [SimpleNamespace(epoch=n, val_score=score, is_best=score == best) for n, score in enumerate(scores, 1)]


@pytest.mark.parametrize(
    ("counts", "highest", "scores", "message"),
    [
        ([99, 1, 0], 0.0, (0.5, 0.5), "99% of the pseudo-labels are road"),
        ([60, 30, 10], 0.0, (0.5, 0.5), None),
        ([1, 1, 1], 0.9, (0.5, 0.5), "only 3.0% of the pseudo-labels are accepted, after 90%"),
        ([40, 30, 20], 0.9, (0.5, 0.29), "the val score is 0.290, after 0.500"),
        ([40, 30, 20], 0.9, (0.5, 0.31), None),
    ],
)
def test_collapse_is_recognised(counts, highest, scores, message):
    watch = CollapseWatch(("road", "sky", "car"), 0.5, CPU)
    watch.highest_share = highest
    labels = torch.repeat_interleave(torch.arange(3), torch.tensor(counts))
    labels = torch.cat([labels, torch.zeros(100 - len(labels), dtype=torch.long)])
    accepted = torch.arange(100) < sum(counts)
    watch.count(labels, accepted, torch.ones(100, dtype=torch.bool))
    assert watch.finding(reports(*scores)) == message
    commonplace = CollapseWatch(("road", "sky", "car"), 0.95, CPU)  # nearly all labels are of one class, too
    commonplace.count(labels, accepted, torch.ones(100, dtype=torch.bool))
    assert commonplace.finding(reports(0.5)) is None


def test_many_classes_make_one_curve():
    watch = CollapseWatch([f"class {number}" for number in range(30)], 0.1, CPU)
    watch.count(torch.tensor([3, 3, 4, 5]), torch.tensor([True, True, True, False]), torch.ones(4, dtype=torch.bool))
    assert watch.measures() == {"accepted_share": 0.75, "largest_pseudo_label_share": pytest.approx(2 / 3)}


@pytest.mark.parametrize(
    ("name", "answer"),
    [("fix_match", "the confidence threshold is 0.975"), ("mean_teacher", "the weight of unlabelled images is 0.5")],
)
def test_collapse_is_answered_and_told(folders, capsys, monkeypatch, name, answer):
    monkeypatch.setattr(CollapseWatch, "finding", lambda *_: None)
    tiny = training(folders, name)
    run(tiny)
    monkeypatch.setattr(CollapseWatch, "finding", lambda *_: "all is sky")
    strategy, trainee = tiny.strategy, tiny.trainee
    best = {key: tensor.clone() for key, tensor in trainee.best.items()}
    capsys.readouterr()
    strategy.end_epoch(trainee)
    (line,) = capsys.readouterr().err.splitlines()
    said = f"{name} has collapsed in epoch 2: all is sky; back to the weights of epoch 1, and {answer} now"
    assert line.endswith(said)
    for model in (trainee.model, trainee.judged):
        assert all(torch.equal(tensor, best[key]) for key, tensor in model.state_dict().items())
    assert not trainee.optimizer.state
    for _ in range(MOST_ANSWERS):
        strategy.end_epoch(trainee)
    assert "training goes on without unlabelled images" in capsys.readouterr().err
    assert strategy.measures() == {}


# the same bits


@pytest.mark.parametrize("name", LEARN_WITHOUT_LABELS)
def test_without_a_weight_it_is_supervised_to_the_bit(folders, name):
    without, plain = training(folders, name, **OFF[name]), training(folders, "supervised")
    if task_of(name) == "segmentation":
        plain = training_of(
            folders["segmentation"], small_model("segmentation"), task="segmentation", epochs=2, averaging=EMA
        )
    for each in (without, plain):
        run(each)
    assert digests(without) == digests(plain)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n == "flex_match" else pytest.mark.slow) for n in LEARN_WITHOUT_LABELS],
)
def test_a_killed_training_ends_in_the_same_bits(folders, tmp_path, name):
    changes = {} if name == "mean_teacher" else {"confidence_threshold": 0.3}
    undisturbed = training(folders, name, **changes)
    run(undisturbed)
    path = tmp_path / "run.checkpoint"
    with pytest.raises(KilledError):
        run(training(folders, name, **changes), Checkpoint(path, "run", seconds_between=0), 2)
    resumed = training(folders, name, **changes)
    run(resumed, Checkpoint(path, "run", seconds_between=0))
    assert digests(resumed) == digests(undisturbed)
    assert resumed.strategy.watch.highest_share == undisturbed.strategy.watch.highest_share > 0


# the stage


def test_the_stage_writes_curves_and_who_was_seen(folders, tmp_path):
    folder = folders["classification"]
    tiny_training.run(folder, tmp_path, "classification", strategy={"name": "fix_match"})
    with (tmp_path / "curves/curves.csv").open(encoding="utf-8") as file:
        row, _ = csv.DictReader(file)
    assert 0 <= float(row["accepted_share"]) <= 1
    assert {"pseudo_label.day", "pseudo_label.night"} <= set(row)
    seen = read_json(tmp_path / "model/seen.json")
    assert len(seen["unlabelled"]) == 5
    assert not set(seen["unlabelled"]) & set(seen["train"])


def test_there_must_be_unlabelled_images_and_a_teacher(tmp_path):
    folder = tiny_training.prepare(tmp_path, "classification")
    for name in LEARN_WITHOUT_LABELS:
        if name != "uni_match":
            with pytest.raises(GraftError, match=f"{name} learns from unlabelled images, and there are none") as told:
                training_of(folder, small_model(), strategy=name, averaging=EMA)
            assert "set augment.unlabelled: unlabelled" in str(told.value)
            training_of(folder, small_model(), strategy=name, averaging=EMA, **OFF[name])


def test_a_mean_teacher_needs_a_mean(folders):
    with pytest.raises(GraftError, match=r"mean_teacher with averaging: none.*set fine_tune.averaging: ema"):
        training(folders, "mean_teacher", averaging="none")
    with pytest.raises(GraftError, match=r"fix_match with averaging: swa.*ema or none"):
        training(folders, "fix_match", averaging="swa")


def test_the_model_itself_teaches_where_there_is_no_average(folders):
    tiny = training(folders, "fix_match", averaging="none", confidence_threshold=0.3)
    run(tiny)
    assert tiny.trainee.history[0].measures["accepted_share"] > 0
    assert tiny.trainee.model.training
