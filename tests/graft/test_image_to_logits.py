"""The one way from an image to logits: sizes, padding, tiles, resizing, memory."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from graft.inference import image_to_logits, tiles
from graft.inference.tiles import Tiling
from graft.inference.torch_runner import Deployable, torch_runner
from graft.training.loop import Forward

TILING = Tiling(2_000_000, 64)


@dataclass
class Spec:
    task: str = "segmentation"
    resize: dict[str, Any] = field(default_factory=lambda: {"name": "none"})
    padding_multiple: int = 1
    min_side_px: int = 32
    mean: tuple[float, ...] = (0.4, 0.5, 0.6)
    std: tuple[float, ...] = (0.2, 0.25, 0.3)


class Small(nn.Module):
    """Four layers that see 9 px around; refuses sizes that are no multiple of four."""

    def __init__(self, num_classes: int = 5) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, num_classes, 3, padding=1),
            nn.Upsample(scale_factor=2),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.shape[2] % 4 or images.shape[3] % 4:
            raise ValueError(f"size {tuple(images.shape)}")
        return self.layers(images)


def ramps(images: np.ndarray) -> np.ndarray:
    """Logits that are the image's own values: what comes back must lie where it was."""
    return images.astype(np.float32).transpose(0, 3, 1, 2)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (max(2, height // 9), max(2, width // 9), 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 7), (33, 32), (64, 96), (97, 31), (3, 200)])
def test_logits_have_the_size_of_the_image_and_stay_in_place(height: int, width: int) -> None:
    image = picture(height, width)
    for multiple in (1, 16, 32):
        logits = image_to_logits.predict_logits(ramps, image, Spec(padding_multiple=multiple), TILING)
        assert logits.dtype == np.float32
        np.testing.assert_array_equal(logits, ramps(image[None])[0])


def test_an_image_that_fits_is_handed_over_as_it_is() -> None:
    seen: list[np.ndarray] = []
    image = picture(64, 96)
    result = np.zeros((1, 4, 64, 96), np.float32)
    logits = image_to_logits.predict_logits(lambda images: (seen.append(images), result)[1], image, Spec(), TILING)
    assert np.shares_memory(seen[0], image)
    assert np.shares_memory(logits, result)


def test_images_of_one_prepared_size_share_a_forward_pass_within_the_limit() -> None:
    shapes: list[tuple[int, ...]] = []

    def counting(images: np.ndarray) -> np.ndarray:
        shapes.append(images.shape)
        return ramps(images)

    images = [picture(h, w, seed) for seed, (h, w) in enumerate([(40, 60), (64, 64), (40, 60), (40, 60)])]
    together = image_to_logits.predict_batch(counting, images, Spec(padding_multiple=4), TILING)
    assert sorted(shapes) == [(1, 64, 64, 3), (3, 40, 60, 3)]
    for image, logits in zip(images, together, strict=True):
        np.testing.assert_array_equal(logits, ramps(image[None])[0])
    shapes.clear()
    image_to_logits.predict_batch(counting, images, Spec(padding_multiple=4), Tiling(5000, 0))
    assert sorted(shapes) == [(1, 40, 60, 3), (1, 64, 64, 3), (2, 40, 60, 3)]


@pytest.mark.parametrize("resize", [{"name": "short_side", "size_px": 48}, {"name": "fit", "size_px": 160}])
def test_logits_are_resized_back_with_pixel_centres_in_place(resize: dict[str, Any]) -> None:
    shapes: list[tuple[int, ...]] = []

    def model(images: np.ndarray) -> np.ndarray:
        shapes.append(images.shape)
        return ramps(images)

    image = cv2.GaussianBlur(picture(300, 420), (0, 0), 12)
    spec = Spec(resize=resize, padding_multiple=16)
    logits = image_to_logits.predict_logits(model, image, spec, TILING)
    assert min(shapes[0][1:3]) <= 160
    assert logits.shape == (3, 300, 420)
    assert np.abs(logits - ramps(image[None])[0]).mean() < 2  # nearly the image itself, not shifted
    ids = image_to_logits.predict_class_ids(model, image, spec, TILING)
    np.testing.assert_array_equal(ids, image_to_logits.most_likely_classes(logits))


def test_resizing_of_logits_is_that_of_torch() -> None:
    logits = np.random.default_rng(0).normal(size=(3, 17, 23)).astype(np.float32)
    for size in [(40, 61), (300, 23), (9, 11)]:
        ours = image_to_logits._restore(logits, size)
        theirs = nn.functional.interpolate(torch.from_numpy(logits)[None], size, mode="bilinear")[0]
        np.testing.assert_allclose(ours, theirs.numpy(), atol=2e-5)


@pytest.mark.parametrize(("height", "width"), [(700, 1100), (1300, 120), (90, 2000), (301, 303)])
def test_tiles_put_together_are_the_whole(height: int, width: int) -> None:
    image, spec = picture(height, width), Spec(padding_multiple=8)
    small = Tiling(300 * 300, 40)
    logits = image_to_logits.predict_logits(ramps, image, spec, small)
    np.testing.assert_allclose(logits, ramps(image[None])[0], atol=1e-3)
    ids = image_to_logits.predict_class_ids(ramps, image, spec, small)
    np.testing.assert_array_equal(ids, image_to_logits.most_likely_classes(logits))


def test_no_tile_is_larger_than_allowed_and_each_is_of_one_shape() -> None:
    shapes: set[tuple[int, ...]] = set()

    def model(images: np.ndarray) -> np.ndarray:
        shapes.add(images.shape)
        return ramps(images)

    image_to_logits.predict_logits(model, picture(900, 1300), Spec(padding_multiple=32), Tiling(100_000, 64))
    ((_, height, width, _),) = shapes
    assert height * width <= 100_000
    assert height % 32 == width % 32 == 0


@pytest.mark.parametrize(("whole", "tile", "overlap"), [(1000, 256, 64), (257, 256, 0), (300, 256, 255), (64, 64, 8)])
def test_weights_of_tiles_sum_to_one_and_cover_everything(whole: int, tile: int, overlap: int) -> None:
    total = np.zeros(whole)
    places = tiles.tile_weights(whole, tile, overlap)
    for start, weights in places:
        total[start : start + tile] += weights
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert (places[0][0], places[-1][0]) == (0, whole - tile)


def test_a_real_photograph_in_tiles_equals_the_whole_away_from_seams(real_data: Path) -> None:
    path = sorted((real_data / "camvid" / "val").iterdir())[0]
    image = cv2.resize(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), (1200, 900))
    runner, spec = torch_runner(Small().eval(), Spec()), Spec(padding_multiple=4)
    whole = image_to_logits.predict_logits(runner, image, spec, TILING)
    tiled = image_to_logits.predict_logits(runner, image, spec, Tiling(500 * 500, 64))
    differs = np.abs(tiled - whole).max(axis=0) > 1e-4
    assert differs.mean() < 0.05  # the model sees 9 px: only seams differ
    assert np.abs(tiled - whole).max() < np.abs(whole).max() / 10  # and there the weight of an edge is small
    tops = [top for top, _ in tiles.tile_weights(900, tiles.tile_size(900, 1200, 4, 250_000, 64)[0], 64)]
    away = np.ones(900, bool)
    for top in tops:
        away[max(0, top - 8) : top + 96] = False
    assert not differs[away][:, 250:300].all()


def test_memory_stays_bounded_for_a_twelve_megapixel_image() -> None:
    image = np.broadcast_to(np.arange(4000, dtype=np.uint8)[None, :, None], (3000, 4000, 3))
    num_classes = 11

    def flat(images: np.ndarray) -> np.ndarray:
        return np.repeat(images[None, ..., 0].astype(np.float32), num_classes, axis=0).transpose(1, 0, 2, 3)

    tracemalloc.start()
    ids = image_to_logits.predict_class_ids(flat, image, Spec(padding_multiple=32), Tiling(1_000_000, 64))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ids.shape == (3000, 4000)
    assert peak < 200e6  # the logits alone would be 528 MB


def test_classification_gives_one_vector_and_shrinks_what_is_too_large() -> None:
    shapes: list[tuple[int, ...]] = []

    def model(images: np.ndarray) -> np.ndarray:
        shapes.append(images.shape)
        return images.mean(axis=(1, 2), dtype=np.float32)

    spec = Spec(task="classification", padding_multiple=1)
    images = [picture(300, 500), picture(50, 40)]
    logits = image_to_logits.predict_batch(model, images, spec, Tiling(65536, 64))
    assert [row.shape for row in logits] == [(3,), (3,)]
    assert all(shape[1] * shape[2] <= 65536 for shape in shapes)
    np.testing.assert_allclose(logits[0], images[0].mean(axis=(0, 1)), atol=2)


@pytest.mark.parametrize("task", ["segmentation", "classification"])
def test_a_side_shorter_than_the_model_wants_is_mirrored(task: str) -> None:
    shapes: list[tuple[int, ...]] = []

    def model(images: np.ndarray) -> np.ndarray:
        shapes.append(images.shape[1:3])
        return ramps(images) if task == "segmentation" else images.mean(axis=(1, 2), dtype=np.float32)

    image = picture(40, 90)
    spec = Spec(task=task, min_side_px=64)
    image_to_logits.predict_logits(model, image, spec, TILING)
    assert shapes == [image_to_logits.prepare(image, spec, max_pixels=10**6).shape[:2]] == [(64, 90)]


@pytest.mark.parametrize("task", ["segmentation", "classification"])
def test_a_thin_line_fits_the_limit_with_its_padding_counted(task: str) -> None:
    shapes: list[tuple[int, ...]] = []

    def model(images: np.ndarray) -> np.ndarray:
        shapes.append(images.shape)
        return ramps(images) if task == "segmentation" else images.mean(axis=(1, 2), dtype=np.float32)

    for image in (picture(2, 90_000), picture(90_000, 2)):
        spec = Spec(task=task, padding_multiple=8, min_side_px=64)
        logits = image_to_logits.predict_logits(model, image, spec, Tiling(65536, 8))
        assert logits.shape == ((3, *image.shape[:2]) if task == "segmentation" else (3,))
    assert all(height * width <= 65536 for _, height, width, _ in shapes)


def test_training_pads_as_prediction_does() -> None:
    model = nn.Identity()
    model.padding_multiple, model.min_side_px = 16, 64
    image = picture(21, 70)
    seen: list[torch.Tensor] = []
    model.register_forward_hook(lambda module, inputs, output: seen.append(output))
    forward = Forward(model, (torch.ones(1, 3, 1, 1), torch.zeros(1, 3, 1, 1)), "float32", True)
    logits = forward(torch.from_numpy(image).permute(2, 0, 1)[None])
    assert logits.shape == (1, 3, 21, 70)
    expected = image_to_logits.prepare(image, Spec(padding_multiple=16, min_side_px=64), max_pixels=10**6)
    np.testing.assert_array_equal(seen[0][0].permute(1, 2, 0).numpy(), expected)


def test_most_likely_is_argmax_and_takes_the_first_of_equals() -> None:
    logits = np.random.default_rng(0).integers(0, 3, (6, 20, 30)).astype(np.float32)
    np.testing.assert_array_equal(image_to_logits.most_likely_classes(logits), logits.argmax(axis=0))
    assert image_to_logits.most_likely_classes(np.array([1, 3, 3], np.float32).reshape(3, 1, 1)) == 1
    of_an_image = image_to_logits.most_likely_classes(np.arange(300, dtype=np.float32))
    assert (of_an_image.shape, of_an_image.dtype, of_an_image) == ((), np.int64, 299)


def test_the_runner_normalises_and_runs_in_evaluation_mode_whatever_the_layout() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.9)).train()
    image = picture(8, 12)
    expected = (image / 255 - Spec().mean) / Spec().std
    for channels_last in (True, False):
        logits = torch_runner(model, Spec(), channels_last=channels_last)(image[None])
        np.testing.assert_allclose(logits[0].transpose(1, 2, 0), expected, rtol=1e-4, atol=1e-5)
    assert torch_runner(model, Spec(), precision="bf16")(image[None]).dtype == np.float32
    read_only = np.broadcast_to(image, (2, *image.shape))
    assert torch_runner(model, Spec())(read_only).shape == (2, 3, 8, 12)


def test_a_deployable_model_runs_on_a_gpu_where_there_is_one() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    image = picture(64, 64)[None]
    expected = Deployable(Small().eval(), Spec().mean, Spec().std)(torch.from_numpy(image)).detach().numpy()
    np.testing.assert_allclose(torch_runner(Small(), Spec(), device="cuda")(image), expected, atol=2e-3)
