"""Every policy: masks keep their values, image and mask move together, a seed says everything."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from graft.data.augmentations import (
    POLICIES,
    apply,
    build,
    carry_channels,
    contradictions,
    seeks_rare_classes,
    serialise,
)
from graft.data.augmentations.policy import library, values_gained
from graft.foundation.choices import resolve
from graft.foundation.errors import GraftError

# Every policy with its defaults and with everything turned up; an entry without a row fails the first test.
CASES = {
    "affine": {"rotation_degrees": 90.0, "max_zoom": 3.0, "shear_degrees": 30.0, "shift_fraction": 0.4},
    "blur_noise": {"blur_probability": 1.0, "noise_probability": 1.0, "compression_probability": 1.0, "strength": 3.0},
    "compose": {"parts": [{"name": "elastic", "probability": 1.0}, "street", {"name": "weather", "strength": 3.0}]},
    "crop": {"min_scale": 0.3, "max_scale": 4.0, "max_class_fraction": 0.5},
    "elastic": {"displacement_fraction": 0.1, "grid": 8, "probability": 1.0},
    "flip": {"vertical_probability": 0.5, "quarter_turns": True},
    "geometric": {
        "vertical_flip_probability": 0.5,
        "quarter_turns": True,
        "rotation_degrees": 90.0,
        "perspective": 0.2,
    },
    "light": {"strength": 2.0},
    "perspective": {"amount": 0.3, "probability": 1.0},
    "photometric": {"strength": 3.0},
    "rand_augment": {"num_ops": 5, "magnitude": 10.0},
    "rotation": {"degrees": 180.0},
    "street": {"strength": 3.0, "min_scale": 0.3, "max_scale": 4.0, "rotation_degrees": 30.0},
    "weather": {"rain_probability": 1.0, "fog_probability": 1.0, "shadow_probability": 1.0, "strength": 3.0},
}
NEEDED = {"compose": {"parts": ["flip", "photometric"]}}
# The same with nothing that touches colours, so that an image painted from its mask must stay painted from it.
COLOURLESS = {name: {"strength": 0.0} for name in ("light", "photometric", "street", "blur_noise", "weather")} | {
    "affine": CASES["affine"],
    "compose": {"parts": ["elastic", "rotation", {"name": "light", "strength": 0.0}]},
    "crop": CASES["crop"],
    "elastic": {"displacement_fraction": 0.05, "probability": 1.0},
    "flip": CASES["flip"],
    "geometric": {},
    "perspective": {"probability": 1.0},
    "rand_augment": {"magnitude": 0.0},
    "rotation": CASES["rotation"],
}
BOTH = [(name, options) for name in sorted(CASES) for options in ({}, CASES[name])]


def policy_of(name: str, size: tuple[int, int] = (48, 64), class_shares: Sequence[float] = (), **options: object):
    spec = {"name": name, **NEEDED.get(name, {}), **options}
    return build(resolve(POLICIES, spec, where="augment.policy")(), *size, class_shares)


@pytest.fixture(scope="module")
def mask() -> np.ndarray:
    """Blocks of the classes 0, 3 and 200 with some ignored pixels, 80 by 100."""
    blocks = np.random.default_rng(0).choice([0, 3, 200, 255], (8, 10), p=[0.4, 0.3, 0.2, 0.1])
    return np.kron(blocks, np.ones((10, 10))).astype(np.uint8)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (80, 100, 3), dtype=np.uint8)


def test_every_policy_has_a_case():
    assert set(CASES) == set(COLOURLESS) == set(POLICIES)


@pytest.mark.parametrize(("name", "options"), BOTH)
def test_masks_keep_their_values_and_views_their_size(name, options, image, mask):
    policy, before = policy_of(name, **options), (image.copy(), mask.copy())
    for seed in range(25):
        view, view_mask = apply(policy, image, mask, seed)
        assert view.shape == (48, 64, 3)
        assert view_mask.shape == (48, 64)
        assert view.dtype == view_mask.dtype == np.uint8
        assert set(np.unique(view_mask)) <= {0, 3, 200, 255}
    assert np.array_equal(before[0], image), "the image of the caller was changed"
    assert np.array_equal(before[1], mask), "the mask of the caller was changed"


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_image_and_mask_move_together(name, mask):
    policy = policy_of(name, **COLOURLESS[name])
    painted = np.repeat(np.where(mask == 200, 250, 5).astype(np.uint8)[..., None], 3, axis=2)
    for seed in range(25):
        view, view_mask = apply(policy, painted, mask, seed)
        known = view_mask != 255
        wrong = (view[..., 0] > 128)[known] != (view_mask == 200)[known]
        assert wrong.mean() < 0.06, f"seed {seed}: edges may differ by a pixel, regions may not"


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_channels_that_are_no_colours_only_move(name, image, mask):
    """Whatever happens to the colours: a channel painted from the mask stays painted from it."""
    policy = carry_channels(policy_of(name, **CASES[name]), 1)
    painted = np.where(mask == 200, 250, 5).astype(np.uint8)
    for seed in range(10):
        view, view_mask = apply(policy, np.dstack([image, painted]), mask, seed, ("red", "green", "blue", "depth"))
        assert view.shape == (48, 64, 4)
        known = view_mask != 255
        wrong = (view[..., 3] > 128)[known] != (view_mask == 200)[known]
        assert wrong.sum() <= 0.06 * len(wrong), f"seed {seed}: edges may differ by a pixel, regions may not"


@pytest.mark.parametrize(("name", "options"), BOTH)
def test_a_view_depends_on_its_seed_alone(name, options, image, mask):
    first, other = policy_of(name, **options), policy_of(name, **options)
    apply(other, image, mask, 99)
    for seed in (0, 2**40 + 5):
        for one, two in zip(apply(first, image, mask, seed), apply(other, image, mask, seed), strict=True):
            assert np.array_equal(one, two)
    assert not np.array_equal(apply(first, image, mask, 1)[0], apply(first, image, mask, 2)[0])


def test_what_is_as_likely_does_not_come_together():
    """Left for right and top for bottom, each of every other view: all four ways are as frequent."""
    quarters = np.arange(4, dtype=np.uint8).repeat(16).reshape(2, 2, 4, 4).transpose(0, 2, 1, 3).reshape(8, 8)
    both = policy_of("flip", (8, 8), vertical_probability=0.5)
    corners = [int(apply(both, np.stack([quarters] * 3, -1), None, seed)[0][0, 0, 0]) for seed in range(400)]
    assert min(np.bincount(corners, minlength=4)) > 60  # of 100 expected; of generators with one seed, two never come


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_a_policy_serves_classification_and_can_be_written_down(name, image):
    policy = policy_of(name)
    view, none = apply(policy, image, None, 5)
    assert view.shape == (48, 64, 3)
    assert none is None
    assert "Crop" in json.dumps(serialise(policy), sort_keys=True)
    assert json.dumps(serialise(policy)) == json.dumps(serialise(policy_of(name)))


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_an_image_smaller_than_the_crop_is_padded_with_ignored_pixels(name):
    small = np.full((20, 30, 3), 200, np.uint8), np.full((20, 30), 3, np.uint8)
    view, view_mask = apply(policy_of(name), *small, 0)
    assert view.shape == (48, 64, 3)
    assert set(np.unique(view_mask)) == {3, 255}


def test_a_crop_that_one_class_fills_is_drawn_again():
    mask = np.zeros((200, 200), np.uint8)
    mask[:, 120:] = 1
    image = np.zeros((200, 200, 3), np.uint8)

    def largest(limit: float) -> np.ndarray:
        policy = policy_of("light", (64, 64), max_class_fraction=limit)
        shares = [np.bincount(apply(policy, image, mask, seed)[1].ravel()).max() / 64**2 for seed in range(40)]
        return np.array(shares)

    assert (largest(1.0) > 0.75).mean() > 0.5
    assert (largest(0.75) > 0.75).mean() < 0.2


def test_crops_are_drawn_again_until_they_show_a_rare_class_of_their_image():
    """Two rare classes of 64 pixels each in an image of 40,000; class 1 fills a tenth of it and is not rare."""
    mask = np.zeros((200, 200), np.uint8)
    mask[:, 180:], mask[60:68, 60:68], mask[130:138, 60:68] = 1, 2, 3
    shares = np.bincount(mask.ravel(), minlength=4) / mask.size
    image = np.zeros((200, 200, 3), np.uint8)

    def shown(**options: object) -> np.ndarray:
        policy = policy_of("light", (64, 64), shares, **options)
        masks = [apply(policy, image, mask, seed)[1] for seed in range(60)]
        return np.array([[(view == k).sum() for k in (2, 3)] for view in masks])

    assert (shown().max(axis=1) == 64).mean() < 0.5
    sought = shown(rare_class_pixels=64)
    assert (sought.max(axis=1) == 64).mean() > 0.75
    assert (sought == 64).any(axis=0).all(), "either of the two"
    assert np.array_equal(shown(rare_class_pixels=64, rare_class_share=0.001), shown()), "neither is so rare"
    assert (shown(rare_class_pixels=4096).max(axis=1) == 64).mean() > 0.75, "the tenth time the best of the ten counts"


def test_an_image_without_a_rare_class_is_cropped_as_ever(image, mask):
    plain = policy_of("street")
    seeking = policy_of("street", class_shares=(0.5, 0.001), rare_class_pixels=50)
    for seed in range(10):
        assert np.array_equal(apply(plain, image, mask, seed)[1], apply(seeking, image, mask, seed)[1])


def test_strength_scales_how_far_colours_go(image, mask):
    grey = np.full_like(image, 120)

    def change(strength: float) -> float:
        policy = policy_of("photometric", strength=strength)
        return float(np.mean([np.abs(apply(policy, grey, mask, s)[0].astype(int) - 120).mean() for s in range(40)]))

    assert change(0.0) == 0.0
    assert 0.0 < change(0.5) < change(1.0) < change(3.0)


def test_a_mask_that_gains_a_value_is_refused(mask, image):
    A = library()
    blurred = A.Compose([A.Affine(rotate=(30, 30), interpolation=1, mask_interpolation=1, fill_mask=7, p=1.0)])
    with pytest.raises(GraftError, match=r"the mask of a view has values its sample's mask has not: \[.*7"):
        apply(blurred, image, mask, 0)
    assert values_gained(np.array([[1]], np.uint8), np.array([[1, 255]], np.uint8)) == []
    assert apply(A.Compose([A.Affine(rotate=(30, 30), fill_mask=255, p=1.0)]), image, mask, 0)[1] is not None


@pytest.mark.parametrize("size", [(83, 101), (150, 333)])
def test_a_warp_that_is_put_off_gives_the_bits_of_one_that_is_not(size):
    """What the crop makes of the part that a view shows, and what the library makes of the whole image."""
    rng = np.random.default_rng(2)
    image, mask = rng.integers(0, 256, (*size, 3), np.uint8), rng.integers(0, 9, size, np.uint8)
    spec = {"name": "compose", "parts": ["affine", "perspective", {"name": "crop", "min_scale": 0.5, "max_scale": 4.0}]}
    late, early = (build(resolve(POLICIES, spec, where="x")(), 40, 56) for _ in range(2))
    for warp in early.transforms[:2]:
        warp.put_off = False
    early.transforms[2].warps = ()
    for seed in range(40):
        for one, two in zip(apply(late, image, mask, seed), apply(early, image, mask, seed), strict=True):
            assert np.array_equal(one, two)


def test_options_that_make_no_sense_are_refused():
    with pytest.raises(
        GraftError, match=r"augment.policy.strenght: street has no such option; did you mean 'strength'"
    ):
        policy_of("street", strenght=1.0)
    with pytest.raises(
        GraftError, match=r"augment.policy.flip_probability: 1.5: Input should be less than or equal to 1"
    ):
        policy_of("street", flip_probability=1.5)


def test_the_parts_of_a_composition_follow_each_other_around_one_crop():
    parts = ["flip", {"name": "crop", "min_scale": 2.0, "max_scale": 2.0}, "rotation", "weather", "blur_noise"]
    names = [transform["__class_fullname__"].split(".")[-1] for transform in transforms_of(parts)]
    assert names[:3] == ["HorizontalFlip", "Affine", "ScaledCrop"]
    assert names[3:6] == ["Shadow", "Haze", "Rain"]
    assert names[-1] == "ImageCompression"
    assert next(t for t in transforms_of(parts) if t["__class_fullname__"].endswith("ScaledCrop"))["min_scale"] == 2.0
    assert [t["__class_fullname__"].split(".")[-1] for t in transforms_of(["flip"])] == ["HorizontalFlip", "ScaledCrop"]


def transforms_of(parts: list[object]) -> list[dict]:
    return serialise(policy_of("compose", parts=parts))["transform"]["transforms"]


def test_a_composition_of_one_part_is_that_part(image, mask):
    alone, composed = policy_of("street"), policy_of("compose", parts=["street"])
    for seed in range(5):
        for one, two in zip(apply(alone, image, mask, seed), apply(composed, image, mask, seed), strict=True):
            assert np.array_equal(one, two)


def test_a_composition_is_written_with_every_option_of_its_parts():
    choice = resolve(POLICIES, {"name": "compose", "parts": ["flip", {"name": "rotation", "degrees": 20.0}]}, where="x")
    flip, rotation = choice.as_dict()["parts"]
    assert flip == {"name": "flip", "probability": 0.5, "vertical_probability": 0.0, "quarter_turns": False}
    assert rotation == {"name": "rotation", "degrees": 20.0, "probability": 1.0}
    assert resolve(POLICIES, choice.as_dict(), where="x").as_dict() == choice.as_dict()
    assert not seeks_rare_classes(choice.as_dict())
    seeking = resolve(POLICIES, {"name": "compose", "parts": [{"name": "crop", "rare_class_pixels": 9}]}, where="x")
    assert seeks_rare_classes(seeking.as_dict())


def test_contradictions_are_named_with_their_place():
    crop = {"name": "crop", "min_scale": 2.0, "max_scale": 1.6, "rare_class_pixels": 5}
    assert contradictions(crop, "segmentation") == ["augment.policy: min_scale 2.0 is larger than max_scale 1.6"]
    both = contradictions({"name": "compose", "parts": [{"name": "flip"}, crop]}, "classification")
    assert len(both) == 2
    assert all(problem.startswith("augment.policy.parts[1]: ") for problem in both)
    for name in POLICIES:
        resolved = resolve(POLICIES, {"name": name, **NEEDED.get(name, {})}, where="x").as_dict()
        assert contradictions(resolved, "classification") == []


def test_parts_that_cannot_be_used_are_listed_with_their_place():
    with pytest.raises(GraftError, match=r"augment.policy.parts\[1\].strenght: weather has no such option.*'strength'"):
        policy_of("compose", parts=["street", {"name": "weather", "strenght": 1.0}])
    with pytest.raises(GraftError, match=r"2 parts crop: street \(augment.policy.parts\[0\]\), light \(aug.*\[2\]\)"):
        policy_of("compose", parts=["street", "weather", "light"])
    with pytest.raises(GraftError, match=r"parts that cannot be used \(2\):(.|\n)*'streat'(.|\n)*named 'compose'"):
        policy_of("compose", parts=["streat", {"name": "compose", "parts": ["flip"]}])
    with pytest.raises(GraftError, match=r"augment.policy.parts: \[\]: List should have at least 1 item"):
        policy_of("compose", parts=[])
    with pytest.raises(GraftError, match=r"augment.policy.parts: compose needs this option"):
        resolve(POLICIES, "compose", where="augment.policy")


def test_rand_augment_moves_image_and_mask_together(mask):
    """Each operation alone keeps two such colours apart, whatever it does to them: class 200 stays where it is."""
    policy = policy_of("rand_augment", num_ops=1)
    painted = np.repeat(np.where(mask == 200, 240, 130).astype(np.uint8)[..., None], 3, axis=2)
    for seed in range(40):
        view, view_mask = apply(policy, painted, mask, seed)
        known = view_mask != 255
        assert abs(np.corrcoef(view[..., 0][known], view_mask[known] == 200)[0, 1]) > 0.85, f"seed {seed}"


def test_rand_augment_goes_further_with_magnitude(image, mask):
    def change(magnitude: float) -> float:
        policy = policy_of("rand_augment", (80, 100), magnitude=magnitude)
        moved = [np.abs(apply(policy, image, mask, s)[0].astype(int) - image).mean() for s in range(40)]
        return float(np.mean(moved))

    assert change(0.0) < 0.5 * change(5.0) < change(5.0) < change(10.0)


@pytest.mark.parametrize("kind", ["rain", "fog", "shadow"])
def test_each_weather_changes_the_image_alone(kind, mask):
    others = {f"{name}_probability": 0.0 for name in ("rain", "fog", "shadow")}
    policy = policy_of("weather", (80, 100), **others | {f"{kind}_probability": 1.0})
    grey = np.full((80, 100, 3), 100, np.uint8)
    views = [apply(policy, grey, mask, seed) for seed in range(10)]
    assert all(np.array_equal(view_mask, mask) for _, view_mask in views)
    changes = np.stack([view.astype(int) - 100 for view, _ in views])
    if kind == "shadow":
        assert changes.max() <= 0
        assert changes.min() < -15
    else:
        assert changes.max() > 20
    calm = policy_of("weather", (80, 100), strength=0.0)
    assert np.array_equal(apply(calm, grey, mask, 0)[0], grey)


def test_an_elastic_bend_moves_points_about_as_far_as_it_says():
    ramp = np.tile(np.arange(200, dtype=np.uint8), (200, 1))
    policy = policy_of("elastic", (200, 200), probability=1.0)
    moved = [apply(policy, np.dstack([ramp] * 3), ramp, seed) for seed in range(30)]
    shifts = [(view[..., 0].astype(int) - ramp)[view_mask != 255] for view, view_mask in moved]
    assert 1.5 < np.concatenate(shifts).std() < 4.0, "4 px at the points of the grid, less between them"
