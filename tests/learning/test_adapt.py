"""Adaptation to a domain without labels: colours, statistics and losses by hand, and the same bits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from graft.foundation.class_map import RGB
from graft.foundation.content import read_json
from graft.training.checkpoint import Checkpoint
from graft.training.strategies.adaptation import lay_classes, share_of_each
from graft.training.strategies.collapse import CollapseWatch
from graft.training.strategies.semi_supervised import MOST_ANSWERS, pseudo_label_loss
from graft.training.strategies.strong_views import hide_patches
from graft.training.strategies.target_statistics import adapt_statistics, mixed_statistics
from graft.training.strategies.target_style import from_lab, like_in_fourier, like_in_lab, recolour, to_lab
from graft.training.strategies.unlabelled_batches import UnlabelledBatches
from tests import tiny_training
from tests.tiny_strategy import KilledError, digests, run, small_model, training_of

SIZE = (24, 32)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    def make(task):
        return tiny_training.prepare(tmp_path_factory.mktemp(task), task, num_unlabelled=5)

    return {task: make(task) for task in ("segmentation", "classification")}


@pytest.fixture
def pictures():
    generator = torch.Generator().manual_seed(5)
    one, other = torch.rand(2, 3, 3, *SIZE, generator=generator).mul(255)
    return one, other * 0.3 + 20


# colours


def test_lab_is_that_of_opencv_and_of_known_colours():
    colours = torch.tensor([[255.0, 255, 255], [0, 0, 0], [255, 0, 0]]).T[None, :, :, None]
    wanted = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20]]
    assert np.allclose(to_lab(colours)[0, :, :, 0].T, wanted, atol=0.02)
    image = np.random.default_rng(1).random((20, 30, 3), np.float32)
    ours = to_lab(torch.from_numpy(image * 255).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    assert (
        np.abs(ours - cv2.cvtColor(image, cv2.COLOR_RGB2LAB)).max() < 0.4
    )  # OpenCV interpolates between entries of a table


def test_lab_comes_back(pictures):
    assert torch.allclose(from_lab(to_lab(pictures[0])), pictures[0], atol=0.01)


def test_colours_in_lab_have_mean_and_deviation_of_what_is_inside_the_reference(pictures):
    one, other = pictures
    inside = torch.ones(3, *SIZE, dtype=torch.bool)
    inside[0, :, 20:] = False
    inside[1] = False  # nothing is: everything counts
    changed = to_lab(like_in_lab(one, other, inside))
    for number, columns in ((0, 20), (1, 32), (2, 32)):
        wanted = to_lab(other)[number, :, :, :columns].flatten(1)
        found = changed[number].flatten(1)
        assert torch.allclose(found.mean(1), wanted.mean(1), atol=0.05)
        assert torch.allclose(found.std(1, correction=0), wanted.std(1, correction=0), atol=0.05)


def test_a_picture_in_its_own_colours_stays(pictures):
    one = pictures[0].round().to(torch.uint8)
    inside = torch.ones(3, *SIZE, dtype=torch.bool)
    for style in ("lab", "fourier"):
        assert (recolour(style, one, one, inside, RGB, 0.1).int() - one.int()).abs().max() <= 1


def test_the_window_of_fourier_with_beta_zero_is_the_mean(pictures):
    one, other = pictures
    means = [picture.mean((2, 3), keepdim=True) for picture in pictures]
    assert torch.allclose(like_in_fourier(one, other, 0.0), one - means[0] + means[1], atol=1e-3)


@pytest.mark.parametrize("size", [(24, 32), (23, 31)])
def test_fourier_is_that_of_the_published_code(pictures, size):
    one, other = (picture[0, :, : size[0], : size[1]].numpy() for picture in pictures)
    spectra = [np.fft.fft2(picture, axes=(-2, -1)) for picture in (one, other)]
    own, reference = (np.fft.fftshift(np.abs(spectrum), axes=(-2, -1)) for spectrum in spectra)
    reach, middle = math.floor(0.1 * min(size)), [side // 2 for side in size]
    window = (slice(None), *(slice(m - reach, m + reach + 1) for m in middle))
    own[window] = reference[window]
    swapped = np.fft.ifftshift(own, axes=(-2, -1)) * np.exp(1j * np.angle(spectra[0]))
    expected = np.real(np.fft.ifft2(swapped, axes=(-2, -1)))
    found = like_in_fourier(torch.from_numpy(one)[None], torch.from_numpy(other)[None], 0.1)[0]
    assert np.abs(found.numpy() - expected).max() < 0.01


def test_measurements_keep_their_values(pictures):
    stacks = [torch.cat([picture, picture[:, :1]], 1).to(torch.uint8) for picture in pictures]
    inside = torch.ones(3, dtype=torch.bool)  # images that have labels and no masks
    changed = recolour("lab", *stacks, inside, (*RGB, "infrared"), 0.0)
    assert torch.equal(changed[:, 3], stacks[0][:, 3])
    assert not torch.equal(changed[:, :3], stacks[0][:, :3])
    assert recolour("lab", *stacks, inside, ("infrared", *RGB), 0.0) is stacks[0]


# statistics


def test_statistics_of_a_batch_are_mixed_while_it_passes():
    norm = nn.BatchNorm2d(1, eps=0.0).eval()
    batch = torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1)  # mean 2, variance 1
    for share, wanted in ((0.0, [1, 3]), (0.5, [0, 2]), (1.0, [-1, 1])):
        with mixed_statistics([norm], share):
            assert norm(batch).flatten().tolist() == pytest.approx(wanted)
    assert (float(norm.running_mean), float(norm.running_var)) == (0, 1)
    with pytest.raises(RuntimeError), mixed_statistics([norm], 0.5):
        norm(torch.zeros(1, 2, 1, 1))
    assert (float(norm.running_mean), norm._forward_pre_hooks) == (0, {})


@dataclass
class PlainForward:
    model: nn.Module
    scale = torch.ones(1)

    def __call__(self, images):
        return self.model(images)


@pytest.mark.parametrize(("share", "mean", "variance"), [(0.25, 0.5, 1.25), (1.0, 2.0, 2.0), (0.0, 0.0, 1.0)])
def test_statistics_move_a_share_of_the_way(share, mean, variance):
    norm = nn.BatchNorm2d(1, eps=0.0)
    batches = [(torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1), None), (torch.full((1, 1, 1, 1), 99.0), None)]
    views = SimpleNamespace(num_samples=3, batches=lambda *_: iter(batches))  # one alone has no variance
    adapt_statistics([norm], PlainForward(norm), views, 2, share)
    assert (float(norm.running_mean), float(norm.running_var)) == pytest.approx((mean, variance))
    assert not norm.training


def test_what_is_validated_is_what_is_kept(folders, tmp_path):
    off = {"style": "none", "unlabelled_weight": 0.0, "masked_weight": 0.0}
    tiny_training.run(folders["segmentation"], tmp_path, strategy={"name": "adapt", "statistics": 0.7, **off})
    summary = read_json(tmp_path / "curves/summary.json")["runs"]["fine_tuned"]["best"]
    lines = (tmp_path / "curves/curves.csv").read_text("utf-8").splitlines()
    row = dict(zip(lines[0].split(","), lines[summary["epoch"]].split(","), strict=True))
    assert float(row["val_loss"]) == summary["val_loss"]
    assert len(read_json(tmp_path / "model/seen.json")["unlabelled"]) == 5


def test_a_model_without_batch_normalisation_has_no_such_step(folders, capsys):
    model = small_model("classification", {"name": "timm", "variant": "test_convnext"})
    strategy = training_of(folders["classification"], model, strategy="adapt").strategy
    assert "statistics" not in strategy.steps
    assert "nothing of this model that trains has batch normalisation" in capsys.readouterr().err


# self-training


def test_each_image_weighs_as_much_as_the_teacher_is_sure_of_it():
    sure = torch.tensor([[[True, False], [True, True]], [[False, False], [False, True]], [[False] * 2] * 2])
    inside = torch.tensor([[[True] * 2] * 2, [[False, False], [True, True]], [[False] * 2] * 2])
    weights = share_of_each(sure, inside)
    assert weights[:, 0, 1].tolist() == [0.75, 0.5, 0]
    assert weights.shape == sure.shape
    assert share_of_each(torch.tensor([True, False]), torch.tensor([True, True])).tolist() == [1, 0]  # labels


def test_the_loss_of_weighed_labels_by_hand():
    logits = torch.tensor([[math.log(3), 0.0], [0.0, math.log(4)]])
    loss = pseudo_label_loss(logits, torch.tensor([0, 1]), torch.tensor([0.5, 0.25]))
    assert loss == pytest.approx((-math.log(3 / 4) * 0.5 - math.log(4 / 5) * 0.25) / 2)


def test_half_of_the_classes_are_laid_over_each_image():
    masks = torch.tensor([[[0, 1, 2], [0, 1, 255]]])
    labelled = torch.full((1, 3, 2, 3), 200, dtype=torch.uint8)
    images, labels = torch.zeros(2, 3, 2, 3, dtype=torch.uint8), torch.full((2, 2, 3), 7)
    weights = torch.tensor([0.25, 0.5])[:, None, None].expand(2, 2, 3)
    mixed, targets, new = lay_classes(images, labels, weights, labelled, masks, 3)
    for number, weight in ((0, 0.25), (1, 0.5)):
        laid = mixed[number, 0] == 200
        taken = set(masks[0][laid].tolist())
        assert len(taken) == 2
        assert 255 not in taken
        assert torch.equal(laid, torch.isin(masks[0], torch.tensor(sorted(taken))))
        assert torch.equal(targets[number], torch.where(laid, masks[0], 7))
        assert torch.equal(new[number], torch.where(laid, 1.0, weight))


def test_patches_are_hidden_whole():
    torch.manual_seed(2)
    images = torch.full((50, 3, 10, 12), 9, dtype=torch.uint8)
    hidden = hide_patches(images, 4, 0.7, torch.tensor([1, 2, 3], dtype=torch.uint8).view(1, 3, 1, 1))
    assert set(hidden[:, 2].unique().tolist()) == {3, 9}
    corners = hidden[:, 0, ::4, ::4]
    assert torch.equal(hidden[:, 0], corners.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, :10, :12])
    assert 0.6 < (corners == 1).float().mean() < 0.8


def test_unlabelled_batches_are_read_only_where_a_step_uses_them(folders, monkeypatch):
    read, take = [], UnlabelledBatches.take
    monkeypatch.setattr(UnlabelledBatches, "take", lambda *of: read.append(of[1]) or take(*of))
    tiny = training_of(folders["classification"], small_model(), strategy="adapt", ladder="auto")
    strategy, images = tiny.strategy, torch.zeros(3, 3, *SIZE, dtype=torch.uint8)
    strategy.ladder.dropped.append("style")
    for epoch, steps in enumerate([set(), set(), {"statistics"}, {"statistics", "self_training"}]):
        strategy.begin_epoch(tiny.trainee.model, epoch, 5)
        assert strategy.steps == steps
        strategy.begin_batch(tiny.trainee, epoch)
        strategy.step(lambda images: torch.zeros(len(images), 2), images, torch.tensor([0, 1, 0]))
    assert read == [3]


def test_without_a_ladder_too_the_other_steps_go_on_after_the_last_answer_to_a_collapse(folders, monkeypatch, capsys):
    monkeypatch.setattr(CollapseWatch, "finding", lambda *_: "all is sky")
    collapsed, restored = (training_of(folders["classification"], small_model(), strategy="adapt") for _ in range(2))
    collapsed.strategy.num_answers = MOST_ANSWERS
    run(collapsed)
    assert capsys.readouterr().err.count("has collapsed") == 1
    restored.strategy.restore(collapsed.strategy.state())
    for one in (collapsed, restored):
        assert one.strategy.steps == {"style", "statistics"}
        assert "accepted_share" not in one.strategy.measures()


@pytest.mark.parametrize("task", [pytest.param("segmentation", marks=pytest.mark.slow), "classification"])
def test_a_killed_adaptation_ends_in_the_same_bits(folders, tmp_path, task):
    def training():
        usual = {"task": task, "epochs": 2, "averaging": {"name": "ema", "decay": 0.9}, "strategy": "adapt"}
        return training_of(folders[task], small_model(task), confidence_threshold=0.3, **usual)

    undisturbed = training()
    run(undisturbed)
    path = tmp_path / "run.checkpoint"
    with pytest.raises(KilledError):
        run(training(), Checkpoint(path, "run", seconds_between=0), 2)
    resumed = training()
    run(resumed, Checkpoint(path, "run", seconds_between=0))
    assert digests(resumed) == digests(undisturbed)
    assert undisturbed.trainee.history[-1].measures["accepted_share"] > 0
