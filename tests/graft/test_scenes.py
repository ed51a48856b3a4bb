from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from graft.foundation.errors import GraftError
from graft.scenes import CLASS_COLOURS, CLASSES, DOMAINS, LIGHTS, WEATHERS, Scene, render
from graft.scenes.canvas import SKY, SKY_DEPTH_M


def digest(scene: Scene) -> str:
    return hashlib.sha256(scene.image.tobytes() + scene.mask.tobytes() + scene.depth.tobytes()).hexdigest()


def test_classes_are_camvids_with_a_colour_each():
    assert len(CLASSES) == len(CLASS_COLOURS) == len(set(CLASS_COLOURS)) == 11
    assert (CLASSES[0], CLASSES[8], CLASSES[10]) == ("sky", "car", "bicyclist")


def test_domains_are_every_pair_of_light_and_weather():
    assert set(DOMAINS.values()) == {(light, weather) for light in LIGHTS for weather in WEATHERS}


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_same_call_gives_the_same_bytes(domain):
    assert digest(render(7, domain, 3, width=128, height=96)) == digest(render(7, domain, 3, width=128, height=96))


def test_another_process_that_rendered_other_scenes_first_gives_the_same_bytes():
    code = (
        "import hashlib; from graft.scenes import render; render(1, 'day', 5, width=96, height=64);"
        "s = render(7, 'night_rain', 3, width=128, height=96);"
        "print(hashlib.sha256(s.image.tobytes() + s.mask.tobytes() + s.depth.tobytes()).hexdigest())"
    )
    elsewhere = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert elsewhere == digest(render(7, "night_rain", 3, width=128, height=96))


def test_seed_index_and_domain_each_change_the_scene():
    calls = [(7, "day", 3), (8, "day", 3), (7, "day", 4), (7, "night", 3), (7, "rain", 3)]
    assert len({digest(render(*call, width=96, height=64)) for call in calls}) == len(calls)


@pytest.mark.parametrize(("width", "height"), [(64, 48), (97, 71), (255, 193), (160, 240), (512, 384)])
def test_shapes_and_types_at_any_size(width, height):
    scene = render(2, "night_rain", 1, width=width, height=height)
    assert (scene.image.shape, scene.image.dtype) == ((height, width, 3), np.uint8)
    assert (scene.mask.shape, scene.mask.dtype) == ((height, width), np.uint8)
    assert (scene.depth.shape, scene.depth.dtype) == ((height, width), np.float32)


@pytest.mark.parametrize("domain", DOMAINS)
def test_masks_hold_known_classes_and_depth_is_positive_finite_and_farthest_in_the_sky(domain):
    for index in range(4):
        scene = render(5, domain, index, width=128, height=96)
        assert scene.mask.max() < len(CLASSES)
        assert np.isfinite(scene.depth).all()
        assert scene.depth.min() > 0
        assert (scene.depth[scene.mask == SKY] == SKY_DEPTH_M).all()
        assert scene.depth[scene.mask != SKY].max() < SKY_DEPTH_M


@pytest.mark.parametrize("domain", ["day", "night_rain"])
def test_every_class_is_in_at_least_a_fifth_of_the_images(domain):
    seen = np.mean(
        [np.bincount(render(1, domain, i, width=96, height=72).mask.ravel(), minlength=11) > 0 for i in range(120)],
        axis=0,
    )
    assert seen.min() >= 0.2, dict(zip(CLASSES, seen, strict=True))


def test_night_is_darker_than_dusk_and_dusk_than_day():
    night, dusk, day = (
        np.mean([render(1, light, i, width=96, height=64).image.mean() for i in range(24)]) for light in LIGHTS[::-1]
    )
    assert night < 0.85 * dusk
    assert dusk < 0.9 * day


def test_fog_hides_what_is_far():
    clear, fog = (
        np.mean([render(1, d, i, width=96, height=64).image.std() for i in range(24)]) for d in ("day", "fog")
    )
    assert fog < clear


def test_an_unknown_domain_is_refused_with_the_one_it_resembles():
    with pytest.raises(GraftError, match=r"unknown scenes domain 'night_rian'.*did you mean 'night_rain'"):
        render(1, "night_rian", 0)


@pytest.mark.parametrize(("arguments", "message"), [((-1, "day", 0), "negative"), ((1, "day", -3), "negative")])
def test_negative_numbers_are_refused(arguments, message):
    with pytest.raises(GraftError, match=message):
        render(*arguments)


def test_a_size_that_is_too_small_is_refused():
    with pytest.raises(GraftError, match=r"40x30 px is too small.*at least 64x48"):
        render(1, "day", 0, width=40, height=30)
