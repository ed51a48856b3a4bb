"""Learning without labels: losses and places by hand, what moves, the same bits after a break, and a collapse."""

from __future__ import annotations

import csv
import functools
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from graft.foundation.choices import option_rules
from graft.foundation.class_map import ClassMap
from graft.foundation.content import content_seed, read_json
from graft.foundation.errors import GraftError
from graft.models.architectures import build_fresh
from graft.models.saved_model import load_state
from graft.models.weights.self_supervised import self_supervised
from graft.training.checkpoint import Checkpoint
from graft.training.normalisation import normalisation_of
from graft.training.self_supervision import METHODS, continuation
from graft.training.self_supervision.continuation import channel_statistics, refuse_crop
from graft.training.self_supervision.image_file import ImageFile
from graft.training.self_supervision.pairs import NUM_PLACES, PairSource, Square, draw_pair, shared_places
from graft.training.self_supervision.place_matching import PlaceMatching, as_map, deviation, features_at, tents
from graft.training.self_supervision.simsiam import SimSiam
from graft.training.self_supervision.vicreg import VICReg
from pipeline.pretrain_load import pretrain_load
from tests import tiny_training
from tests.augmented_samples import bare_rows, write_rows, write_train

SOURCE = {"name": "self_supervised", "start": "none", "epochs": 2, "batch_size": 3, "crop_px": 32}
FIRST = torch.tensor([[0.0, 0.0], [2.0, 2.0]])


class KilledError(Exception):
    """What a test ends a training with."""


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bare")
    write_train(folder, num_samples=2)
    write_rows(folder / "unlabelled", bare_rows("segmentation", 5))
    return folder


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory) -> dict[str, bytes]:
    """The files of a run that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole") / "out"
    run(data, out)
    return content(out)


def run(data: Path, out: Path, images: str = "unlabelled", resume: Path | None = None, **changes) -> dict:
    """Runs the stage, and returns the card of the weights."""
    out.mkdir(parents=True)
    section = {"source": SOURCE | changes, "images": images, "part": "all", "initialisation": "library"}
    pretrain_load(
        task="segmentation",
        seed=7,
        model="plain_fcn",
        runtime=tiny_training.runtime(),
        pretrain_load=SimpleNamespace(**section),
        images=data / images,
        class_map=data / "class_map.json",
        out=out,
        resume=resume,
    )
    return read_json(out / "card.json")


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_params_offer_the_methods_there_are():
    rule, default = option_rules(self_supervised)["method"]
    assert default in METHODS
    assert set(METHODS) == set(rule.json_schema()["enum"])


def test_vicreg_by_hand():
    # Mean square 1. First: both variances 2, both covariances 2. Second: variances 2 and 0, covariances 0.
    second = torch.tensor([[0.0, 2.0], [2.0, 2.0]])
    assert float(VICReg(2)(FIRST, second)) == pytest.approx(25 * 1 + 25 * (0 + 0.99 / 2) + (4 + 4) / 2, rel=1e-6)


def test_simsiam_by_hand():
    loss = SimSiam(8)
    loss.predict = nn.Identity()
    second = torch.tensor([[0.0, 2.0], [2.0, 0.0]])  # normalised: (-1, 1) and (1, -1), at right angles to the first
    assert float(loss(FIRST.repeat(1, 4), second.repeat(1, 4))) == pytest.approx(0, abs=1e-6)
    assert float(loss(FIRST.repeat(1, 4), 3 * FIRST.repeat(1, 4))) == pytest.approx(-1, abs=1e-5)


def test_simsiam_lets_no_gradient_through_what_is_predicted():
    loss, guessing, guessed = SimSiam(4), torch.rand(6, 4), torch.rand(6, 4, requires_grad=True)
    loss.disagreement(guessing, guessed).backward()
    assert guessed.grad is None
    assert loss.predict[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("size", [(40, 40), (33, 90), (1, 1), (120, 31)])
def test_squares_lie_in_the_image_and_share_half_of_the_smaller_ones_side(size):
    for number in range(200):
        first, second = draw_pair(np.random.default_rng(number), *size)
        shorter = min(size)
        for square in (first, second):
            assert max(round(shorter / 2), 1) <= square.side <= shorter
            assert min(square.top, square.left) >= 0
            assert square.top + square.side <= size[0]
            assert square.left + square.side <= size[1]
        for a, b in ((first.top, second.top), (first.left, second.left)):
            assert min(a + first.side, b + second.side) - max(a, b) >= min(first.side, second.side) // 2


def test_shared_places_by_hand():
    first, second = Square(0, 0, 4, False), Square(2, 0, 4, True)  # they share rows 2 to 4 and all columns
    expected = [[[0.625, 0.875], [0.25, 0.75]], [[0.125, 0.375], [0.75, 0.25]]]
    assert shared_places(first, second, 2).tolist() == expected


def test_a_place_shows_the_same_in_both_views():
    rows, columns = np.mgrid[:64, :96]
    picture = np.stack([rows * 2, columns * 2, rows + columns], axis=-1).astype(np.uint8)
    source = PairSource(ImageFile([picture] * 20), [f"{number}" for number in range(20)], 3, 1, 32)
    images, places = source.read(np.arange(20), 0)
    shown = features_at(images.permute(0, 3, 1, 2).float(), places)
    first, second = shown.chunk(2)
    assert (first - second)[..., 1:-1, 1:-1].abs().max() < 2  # resizing rounds, and the edges are continued
    assert (first.amax((2, 3)) - first.amin((2, 3))).min() > 20


def test_tents_are_bilinear_weights_that_continue_the_edges():
    found = tents(torch.tensor([[0.0, 0.125, 0.5, 1.0]]), 4)[0]
    assert found.tolist() == [[1, 0, 0, 0], [1, 0, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 1]]
    middle = features_at(torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]]), torch.full((1, 2, 1), 0.5))
    assert middle.item() == 1.5


def test_deviation_is_one_in_all_directions_and_zero_in_one():
    cross = torch.tensor([[1.0, 0.0], [-2.0, 0.0], [0.0, 3.0], [0.0, -4.0]])
    assert float(deviation(cross)) == pytest.approx(1)
    assert float(deviation(torch.tensor([[1.0, 2.0], [2.0, 4.0]]))) == pytest.approx(0, abs=1e-6)


def test_tokens_and_vectors_become_maps_of_one_place():
    assert as_map(torch.ones(2, 5, 3)).shape == (2, 3, 1, 1)
    assert as_map(torch.ones(2, 3)).shape == (2, 3, 1, 1)
    assert as_map(torch.ones(2, 3, 4, 5)).shape == (2, 3, 4, 5)


def test_images_of_any_size_come_back_from_the_file():
    pictures = [np.full((2, 3, 1), 7, np.uint8), np.arange(60, dtype=np.uint8).reshape(5, 4, 3)[:, ::-1]]
    file = ImageFile(iter(pictures))
    assert all(np.array_equal(file[number], picture) for number, picture in enumerate(pictures))
    flat = channel_statistics(ImageFile([np.full((2, 2, 2), 51, np.uint8), np.full((2, 2, 2), 153, np.uint8)]))
    assert flat["mean"] == pytest.approx([0.4, 0.4])
    assert flat["std"] == pytest.approx([0.2, 0.2])


@pytest.mark.parametrize("method", METHODS)
def test_the_backbone_learns_and_the_head_stays(data, tmp_path, method):
    card = run(data, tmp_path / "out", method=method)
    start = build_fresh("segmentation", "plain_fcn", 11, content_seed(7, "head")).state_dict()
    learnt, _ = load_state(tmp_path / "out/weights.safetensors")
    moved = {name.partition(".")[0] for name, tensor in learnt.items() if not torch.equal(tensor, start[name])}
    assert list(learnt) == sorted(start)
    assert moved == {"backbone"}
    facts = card["self_supervised"]
    assert (card["name"], facts["start"], facts["num_images"]) == ("self_supervised", {"name": "none"}, 5)
    assert (facts["method"], card["known_classes"]) == (method, [])
    with (tmp_path / "out/self_supervision.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[-1]["feature_deviation"]) == pytest.approx(facts["feature_deviation"])
    assert read_json(tmp_path / "out/seen.json") == {
        "unlabelled": sorted(row["image_sha256"] for row in bare_rows("segmentation", 5))
    }


def test_labels_are_not_looked_at(data, tmp_path):
    run(data, tmp_path / "with", "train")
    write_train(tmp_path / "bare", num_samples=2, mask=None, mask_sha256=None)
    run(tmp_path / "bare", tmp_path / "without", "train")
    assert content(tmp_path / "with") == content(tmp_path / "without")


def test_a_killed_training_goes_on_to_the_same_bytes(data, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(continuation, "Checkpoint", functools.partial(Checkpoint, seconds_between=0))
    step, taken = PlaceMatching.step, []

    def killed(self, *given):
        taken.append(None)
        if len(taken) == 4:  # in the second epoch, after its first batch
            raise KilledError
        return step(self, *given)

    monkeypatch.setattr(PlaceMatching, "step", killed)
    with pytest.raises(KilledError):
        run(data, tmp_path / "killed", resume=tmp_path / "resume")
    run(data, tmp_path / "resumed", resume=tmp_path / "resume")
    assert len(taken) == 5
    assert content(tmp_path / "resumed") == whole


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_training_killed_after_the_last_step_of_an_epoch_goes_on_to_the_same_bytes(
    data, whole, tmp_path, monkeypatch, epoch
):
    monkeypatch.setattr(continuation, "Checkpoint", functools.partial(Checkpoint, seconds_between=0))
    with monkeypatch.context() as patches:
        measures, ends = PlaceMatching.measures, []

        def killed(self):
            ends.append(None)
            if len(ends) == epoch:
                raise KilledError
            return measures(self)

        patches.setattr(PlaceMatching, "measures", killed)
        with pytest.raises(KilledError):
            run(data, tmp_path / "killed", resume=tmp_path / "resume")
    run(data, tmp_path / "resumed", resume=tmp_path / "resume")
    assert content(tmp_path / "resumed") == whole


def test_fine_tune_normalises_as_was_learnt(data, tmp_path):
    classes = replace(ClassMap.read(data / "class_map.json"), channels=("nir", "red", "green"))
    classes.write(tmp_path / "class_map.json")
    write_rows(tmp_path / "unlabelled", bare_rows("segmentation", 3))
    card = run(tmp_path, tmp_path / "out")
    assert card["channels"] == ["nir", "red", "green"]
    assert (card["mean"][1:], card["std"][1:]) == ([0.485, 0.456], [0.229, 0.224])
    of_training = {"mean": [0.9] * 3, "std": [0.1] * 3}
    assert normalisation_of(classes, card, of_training) == (tuple(card["mean"]), tuple(card["std"]))
    _, metadata = load_state(tmp_path / "out/weights.safetensors")
    assert (metadata["mean"], metadata["std"]) == (card["mean"], card["std"])


def test_no_channel_is_measured_where_the_weights_say_how_to_normalise_it(data, tmp_path, monkeypatch):
    monkeypatch.setattr(continuation, "channel_statistics", None)
    assert run(data, tmp_path / "out")["mean"] == [0.485, 0.456, 0.406]


def test_a_collapse_is_told_once(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(continuation, "COLLAPSED", 10.0)
    run(data, tmp_path / "out")
    assert capsys.readouterr().err.count("warning: features have become nearly the same everywhere in epoch 1") == 1


def test_fine_tune_lists_the_images_among_those_it_has_seen(data, tmp_path):
    folder = tiny_training.prepare(tmp_path / "data", num_samples=2)
    write_rows(folder / "unlabelled", bare_rows("segmentation", 5))
    run(folder, tmp_path / "pretrained", crop_px=64)
    tiny_training.run(
        folder, tmp_path / "tuned", pretrained=tmp_path / "pretrained", model={"name": "plain_fcn"}, epochs=2
    )
    seen = read_json(tmp_path / "tuned/model/seen.json")
    assert seen["unlabelled"] == read_json(tmp_path / "pretrained/seen.json")["unlabelled"]
    assert set(seen) == {"train", "val", "unlabelled"}


def test_without_images_there_is_one_message(data, tmp_path):
    write_rows(tmp_path / "unlabelled", [])
    (tmp_path / "class_map.json").write_bytes((data / "class_map.json").read_bytes())
    with pytest.raises(GraftError, match=r"pretrain_load.images is unlabelled.*no such images.*images: train"):
        run(tmp_path, tmp_path / "out")
    with pytest.raises(GraftError, match=r"pretrain_load.images is none, and the source is self_supervised"):
        run(data, tmp_path / "none", "none")


def test_a_view_is_of_a_size_that_the_model_takes():
    model = SimpleNamespace(fixed_size_px=None, padding_multiple=32, min_side_px=64)
    refuse_crop(model, 96)
    with pytest.raises(GraftError, match=r"100 px.*multiples of 32 px, at least 64.*set crop_px: 96"):
        refuse_crop(model, 100)
    with pytest.raises(GraftError, match="set crop_px: 64"):
        refuse_crop(model, 32)
    model.fixed_size_px = 224
    with pytest.raises(GraftError, match="exactly 224 px"):
        refuse_crop(model, 96)


def test_the_places_are_a_grid_that_every_option_divides():
    assert all(NUM_PLACES % places == 0 for places in option_rules(self_supervised)["places"][0].json_schema()["enum"])
