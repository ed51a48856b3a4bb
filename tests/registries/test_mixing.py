"""Every mixing: pure, seeded, image and mask alike, no new label; and what each paper says of its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from graft.foundation.choices import resolve
from graft.foundation.class_map import TASKS as ALL_TASKS
from graft.training.mixing import MIXINGS, TASKS
from graft.training.mixing.mixed_targets import MixedTargets

# Options with which every batch is mixed; an entry without a row fails the first test.
CASES = {
    "classmix": {"probability": 1.0},
    "copy_paste": {"probability": 1.0},
    "cutmix": {"alpha": 4.0},
    "mixup": {"alpha": 4.0},
    "none": {},
}
SEGMENTATION, CLASSIFICATION = (
    [name for name in sorted(CASES) if task in TASKS[name] and name != "none"]
    for task in ("segmentation", "classification")
)
SIZE = (24, 32)


def mix_of(name: str, **options: object):
    return resolve(MIXINGS, {"name": name, **options}, where="fine_tune.mixing")()


@pytest.fixture
def masks() -> torch.Tensor:
    """Four masks of blocks: 0 and 1 anywhere, 5 + i in mask i alone and rare, some of it ignored."""
    blocks = np.random.default_rng(0).choice([0, 1, 255], (4, 6, 8), p=[0.5, 0.4, 0.1])
    for number in range(4):
        blocks[number, number, 2:4] = 5 + number
    return torch.from_numpy(np.kron(blocks, np.ones((1, 4, 4), np.int64)))


@pytest.fixture
def images(masks) -> torch.Tensor:
    """Painted from their masks, in channels-last memory as the loader gives them: red is the class, green the image."""
    green = torch.arange(4)[:, None, None].expand(4, *SIZE) * 50
    return torch.stack([masks, green, masks], 1).to(torch.uint8).contiguous(memory_format=torch.channels_last)


def test_every_mixing_has_a_case_and_says_which_tasks_it_serves():
    assert set(CASES) == set(MIXINGS) == set(TASKS)
    assert all(tasks and set(tasks) <= set(ALL_TASKS) for tasks in TASKS.values())
    assert mix_of("none") is None


@pytest.mark.parametrize("name", SEGMENTATION)
def test_images_and_masks_move_together_and_no_label_is_new(name, images, masks):
    mix, changed = mix_of(name, **CASES[name]), 0
    for seed in range(20):
        mixed, mixed_masks = mix(images, masks, seed)
        assert mixed.dtype == torch.uint8
        assert mixed_masks.dtype == torch.int64
        assert mixed.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(mixed[:, 0].long(), mixed_masks), "painted from its mask, and still is"
        assert set(mixed_masks.unique().tolist()) <= {0, 1, 5, 6, 7, 8, 255}
        changed += not torch.equal(mixed_masks, masks)
    assert changed > 15


@pytest.mark.parametrize(("name", "task"), [(n, "s") for n in SEGMENTATION] + [(n, "c") for n in CLASSIFICATION])
def test_a_mix_is_a_pure_function_of_images_targets_and_seed(name, task, images, masks):
    targets = masks if task == "s" else torch.arange(4)
    before, mix = (images.clone(), targets.clone()), mix_of(name, **CASES[name])
    results = [mix(images, targets, seed) for seed in (3, 4, 5, 2**62, 3)]
    assert torch.equal(images, before[0]), "the images of the caller were changed"
    assert torch.equal(targets, before[1]), "the targets of the caller were changed"
    assert torch.equal(results[0][0], results[-1][0])
    assert any(not torch.equal(results[0][0], other) for other, _ in results[1:-1])


@pytest.mark.parametrize("name", [name for name in sorted(CASES) if name != "none"])
def test_one_image_alone_stays_as_it_is(name, images, masks):
    targets = masks[:1] if "segmentation" in TASKS[name] else torch.tensor([1])
    mixed, mixed_targets = mix_of(name, **CASES[name])(images[:1], targets, 0)
    assert torch.equal(mixed, images[:1])
    assert torch.equal(mixed_targets, targets)


@pytest.mark.parametrize(
    "name", [name for name in sorted(CASES) if "probability" in CASES[name] or "alpha" in CASES[name]]
)
def test_probability_says_how_often_something_is_mixed(name, images, masks):
    targets = masks if "segmentation" in TASKS[name] else torch.arange(4)
    mix = mix_of(name, **{**CASES[name], "probability": 0.3})
    unchanged = [torch.equal(mix(images, targets, seed)[0], images) for seed in range(100)]
    expected = 0.7**4 if name == "copy_paste" else 0.7  # of its four rare classes each is drawn by itself
    assert abs(np.mean(unchanged) - expected) < 0.15


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_labels_are_mixed_as_the_pixels_are(name):
    """White images, labelled 1, and black ones, labelled 0: the mean of the pixels is the share of white."""
    images = torch.stack([torch.full((3, *SIZE), 255 * (n % 2), dtype=torch.uint8) for n in range(4)])
    labels, shares = torch.arange(4) % 2, []
    for seed in range(40):
        mixed, targets = mix_of(name, **CASES[name])(images, labels, seed)
        assert isinstance(targets, MixedTargets)
        white = targets.share * targets.first + (1 - targets.share) * targets.second
        assert torch.allclose(mixed.float().mean((1, 2, 3)) / 255, white.float(), atol=0.003)
        shares.append(targets.share)
    assert len(set(shares)) > 30
    assert 0.4 < np.mean(shares) < 0.75, "half is taken from the other, less what a box loses at the border"


def test_a_cut_box_shows_another_image_and_its_ignored_pixels(images, masks):
    for seed in range(20):
        mixed, mixed_masks = mix_of("cutmix")(images, masks, seed)
        green = mixed[:, 1].long() // 50
        inside = green != torch.arange(4)[:, None, None]
        assert all(torch.equal(inside[0], other) for other in inside[1:]), "one box for the whole batch"
        rows, columns = inside[0].any(1).nonzero(), inside[0].any(0).nonzero()
        assert inside[0].sum() == len(rows) * len(columns)
        shift = -int(green[0][inside[0]][0]) % 4 if inside.any() else 0
        assert torch.equal(mixed_masks[inside], masks.roll(shift, 0)[inside])


def test_the_shares_of_cutmix_are_those_of_a_uniform_draw_less_what_is_cut_off():
    images = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    shares = [mix_of("cutmix")(images, torch.tensor([0, 1]), seed)[1].share for seed in range(400)]
    assert min(shares) < 0.3
    assert 0.6 < np.mean(shares) < 0.75, "a box of area 1 - s, uniform s, keeps 0.65 on the mean at a random place"


def test_classmix_pastes_half_of_the_classes_of_the_partner(images, masks):
    for seed in range(30):
        mixed, mixed_masks = mix_of("classmix", probability=1.0)(images, masks, seed)
        partner = mixed[:, 1].long() // 50
        for number in range(4):
            from_other = partner[number] != number
            other = masks[int(partner[number][from_other][0])]
            classes = set(other.unique().tolist()) - {255}
            taken = set(mixed_masks[number][from_other].unique().tolist())
            assert len(taken) == -(-len(classes) // 2)
            assert taken <= classes
            assert torch.equal(from_other, torch.isin(other, torch.tensor(sorted(taken)))), "all pixels of a class"


def test_copy_paste_takes_rare_classes_only(images, masks):
    for seed in range(30):
        mixed, mixed_masks = mix_of("copy_paste", probability=1.0)(images, masks, seed)
        partner = mixed[:, 1].long() // 50
        for number in range(4):
            from_other = partner[number] != number
            assert set(mixed_masks[number][from_other].tolist()) == {5 + int(partner[number][from_other][0])}
    everything = mix_of("copy_paste", probability=1.0, max_share=1.0)(images, masks, 0)[0]
    assert (everything[0, 1] != 0).float().mean() > 0.7, "with max_share 1 every class is pasted"


def test_masks_that_are_wholly_ignored_are_left_alone(images):
    void = torch.full((4, *SIZE), 255)
    for name in SEGMENTATION:
        assert torch.equal(mix_of(name, **CASES[name])(images, void, 1)[1], void)
