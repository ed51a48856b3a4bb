"""Predictions for files, folders and globs: what is found, what is written, what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from graft.data.formats.class_values import class_map_of, translation_of
from graft.data.formats.files import find_files
from graft.data.formats.translation import Translation, identity
from graft.data.images.codec import encode_png
from graft.deployment.export.exported_model import open_exported
from graft.deployment.prediction_files import find_images, predict_files
from graft.deployment.serving.source_classes import to_source_values
from graft.foundation.class_map import ClassMap
from graft.foundation.errors import GraftError
from graft.inference.image_to_logits import predict_class_ids, predict_confidence
from tests.graft.small_export import bands, flag, small_export


def save(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        path.write_bytes(encode_png(image))
    else:
        Image.fromarray(image).save(path, quality=95)
    return path


def test_writes_a_mask_and_an_overlay_of_the_image_s_size_for_every_size(tmp_path: Path) -> None:
    model = small_export(tmp_path / "model")
    sizes = [(7, 9), (33, 100), (700, 900)]  # the last is tiled
    for number, size in enumerate(sizes):
        save(tmp_path / "in" / f"{number}.png", flag(*size))
    summary = predict_files([str(tmp_path / "in")], model, tmp_path / "out")
    assert summary.num_written == 3
    assert "3 images" in str(summary)
    for number, size in enumerate(sizes):
        mask = cv2.imread(str(tmp_path / "out" / "masks" / f"{number}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(mask, bands(*size))
        assert cv2.imread(str(tmp_path / "out" / "overlays" / f"{number}.png")).shape == (*size, 3)


def test_the_target_that_is_named_predicts(tmp_path: Path) -> None:
    model = small_export(tmp_path / "model")
    (model / "model.onnx").rename(model / "model_int8.onnx")
    image = str(save(tmp_path / "a.png", flag(10, 12)))
    named = {"version": "models:/streets/3", "target": "onnx_int8"}
    assert predict_files([image], model, tmp_path / "out", log=tmp_path / "log", **named).num_written == 1
    assert ",models:/streets/3 (onnx_int8)," in (tmp_path / "log/predictions.csv").read_text(encoding="utf-8")
    with pytest.raises(GraftError, match="not exported as pt2"):
        predict_files([image], model, tmp_path / "out", target="pt2")


def test_keeps_folders_apart_and_never_writes_two_images_to_one_place(tmp_path: Path) -> None:
    for name in ("a/one.png", "b/one.png", "a/one.jpg", "c/Zwei_ü.png", "one.png"):
        save(tmp_path / "in" / name, flag(10, 12))
    found = find_images([str(tmp_path / "in")])
    assert sorted(map(str, found.values())) == ["a/one.jpg", "a/one.png", "b/one", "c/Zwei_ü", "one"]
    root = str(tmp_path / "in")
    found = find_images([f"{root}/a/one.png", f"{root}/b/one.png", f"{root}/a/one.png", f"{root}/**/Zwei*"])
    assert sorted(map(str, found.values())) == ["a/one", "b/one", "c/Zwei_ü"]
    model = small_export(tmp_path / "model")
    assert predict_files([root], model, tmp_path / "out").num_written == 5
    assert len(list((tmp_path / "out" / "masks").rglob("*.png"))) == 5


def test_takes_the_files_that_ingest_takes_and_no_hidden_ones(tmp_path: Path) -> None:
    for name in ("a.png", "b/c.png", "._a.png", "b/._c.png", ".ipynb_checkpoints/a-checkpoint.png"):
        save(tmp_path / name, flag(10, 12))
    found = find_images([str(tmp_path)])
    assert [path.relative_to(tmp_path).as_posix() for path in found] == sorted(find_files(tmp_path).paths)
    assert [*map(str, find_images([f"{tmp_path}/**/*.png"]).values())] == ["a", "b/c"]


def test_what_is_skipped_is_said_with_the_reason(tmp_path: Path) -> None:
    root = tmp_path / "in"
    for name in ("a.png", ".ipynb_checkpoints/a-checkpoint.png", "._a.png"):
        save(root / name, flag(10, 12))
    for number in range(4):
        (root / f"notes-{number}.txt").touch()
    model = small_export(tmp_path / "model")
    predict_files([str(root)], model, root / "out")
    summary = predict_files([str(root)], model, root / "out")  # does not predict what the first has written
    said = str(summary).splitlines()[1]
    assert summary.num_written == 1
    assert "2 hidden (._a.png, a-checkpoint.png)" in said
    assert "4 not an image by its ending (notes-0.txt, notes-1.txt, notes-2.txt, …)" in said
    assert "3 in the output folder (" in said
    assert list(find_images([str(root / "._a.png")])) == [root / "._a.png"]  # named itself


def test_masks_have_their_classes_beside_them_and_confidence_where_asked(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", flag(10, 12))
    model = small_export(tmp_path / "model", source_values=((0,), ("7-9",), "rest"))
    plain = str(predict_files([str(path)], model, tmp_path / "plain"))
    assert not (tmp_path / "plain" / "confidence").exists()
    summary = predict_files([str(path)], model, tmp_path / "out", confidence=True)
    classes = json.loads((tmp_path / "out" / "masks" / "classes.json").read_text(encoding="utf-8"))
    assert [(one["class"], one["value"]) for one in classes] == [("red", 0), ("green", 7), ("blue", 1)]
    certain = cv2.imread(str(tmp_path / "out" / "confidence" / "a.png"), cv2.IMREAD_UNCHANGED)
    assert certain.shape == (10, 12)
    assert (certain == 255).all()  # logits are 220 and 20
    assert "confidence (255 is certain)" in str(summary)
    assert "confidence" not in plain


def test_confidence_is_the_softmax_of_the_class(tmp_path: Path) -> None:
    model = open_exported(small_export(tmp_path / "model"))
    image = np.random.default_rng(0).integers(0, 4, (300, 301, 3), dtype=np.uint8)  # larger than a tile
    ids, confidence = predict_confidence(model.runner, image, model.spec, model.tiling)
    np.testing.assert_array_equal(ids, predict_class_ids(model.runner, image, model.spec, model.tiling))
    powers = np.exp(image.astype(np.float64))
    np.testing.assert_allclose(confidence, powers.max(-1) / powers.sum(-1), rtol=1e-5)


def test_the_class_that_covers_most_leaves_the_photograph_untinted(tmp_path: Path) -> None:
    image = flag(12, 12)
    image[6:] = (220, 20, 20)
    predict_files([str(save(tmp_path / "a.png", image))], small_export(tmp_path / "model"), tmp_path / "out")
    shown = cv2.imread(str(tmp_path / "out" / "overlays" / "a.png"))[..., ::-1]
    np.testing.assert_array_equal(shown[6:], image[6:])
    assert (shown[0, 5] != image[0, 5]).any()


def test_names_that_differ_only_in_case_get_places_that_differ_everywhere(tmp_path: Path) -> None:
    for name in ("one.png", "One.png", "two.png"):
        (tmp_path / name).touch()
    if len(list(tmp_path.iterdir())) < 3:
        pytest.skip("the disk takes both names for one")
    places = [str(place).casefold() for place in find_images([str(tmp_path)]).values()]
    assert len(set(places)) == 3
    assert "two" in places


def test_the_orientation_of_a_photograph_is_that_of_its_mask(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    path = tmp_path / "turned.jpg"
    Image.fromarray(flag(40, 60)).save(path, exif=exif, quality=95)
    predict_files([str(path)], small_export(tmp_path / "model"), tmp_path / "out")
    assert cv2.imread(str(tmp_path / "out" / "masks" / "turned.png"), cv2.IMREAD_UNCHANGED).shape == (60, 40)


def test_labels_as_csv(tmp_path: Path) -> None:
    model = small_export(tmp_path / "model", "classification", ("r", "g", "b"))
    green = np.zeros((50, 40, 3), np.uint8)
    green[..., 1] = 2
    path = save(tmp_path / "leaf, wet.png", green)
    summary = predict_files([str(path)], model, tmp_path / "out")
    (row,) = csv.DictReader((tmp_path / "out" / "labels.csv").read_text(encoding="utf-8").splitlines())
    assert row["image"] == path.as_posix()
    assert row["label"] == "green"
    shares = [float(row[f"probability_{name}"]) for name in ("red", "green", "blue")]
    np.testing.assert_allclose(shares, np.exp([0, 2, 0]) / np.exp([0, 2, 0]).sum(), atol=1e-5)
    assert "labels.csv" in str(summary)


def test_what_cannot_be_read_is_said_at_once_after_the_rest_is_done(tmp_path: Path) -> None:
    save(tmp_path / "in" / "good.png", flag(10, 10))
    (tmp_path / "in" / "empty.png").write_bytes(b"")
    (tmp_path / "in" / "text.jpg").write_bytes(b"this is no image")
    with pytest.raises(GraftError, match="could not be read") as refused:
        predict_files([str(tmp_path / "in")], small_export(tmp_path / "model"), tmp_path / "out")
    assert "empty.png" in str(refused.value)
    assert "text.jpg" in str(refused.value)
    assert "1 image predicted" in str(refused.value)
    assert (tmp_path / "out" / "masks" / "good.png").is_file()


def test_paths_that_name_nothing_are_all_listed(tmp_path: Path) -> None:
    with pytest.raises(GraftError, match="nothing to predict") as refused:
        find_images([str(tmp_path / "absent.png"), str(tmp_path / "*.jpg"), str(tmp_path)])
    assert str(refused.value).count("no such image") == 3


def test_an_out_that_cannot_be_written_gets_a_clear_answer(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", flag(10, 10))
    (tmp_path / "out").write_text("a file, not a folder")
    with pytest.raises(GraftError, match="cannot write predictions"):
        predict_files([str(path)], small_export(tmp_path / "model"), tmp_path / "out")


@pytest.mark.parametrize(
    ("source_values", "translation"),
    [
        ((0, 1, 2), identity(3)),
        (((0,), ("1-254",), (255,)), Translation((((0, 0),), ((1, 254),), ((255, 255),)), ((), (), ()))),
        (((7, 8, 9), ("0-6",), ("rest",)), Translation((((7, 9),), ((0, 6),), ()), ((), (), ()), rest=2)),
        (((300,), (0,), (1000,)), Translation((((300, 300),), ((0, 0),), ((1000, 1000),)), ((), (), ()))),
        (
            (((128, 64, 0),), (255,), ("rest",)),
            Translation(((), ((255, 255),), ()), (((128, 64, 0),), (), ()), rest=2),
        ),
    ],
)
def test_a_mask_in_source_values_reads_back_as_the_same_classes(source_values: Any, translation: Translation) -> None:
    ids = bands(6, 9)
    class_map = ClassMap("segmentation", ("a", "b", "c"), ((0, 0, 0),) * 3, source_values, False, False, "mask_folder")
    written = to_source_values(ids, class_map)
    decoded = cv2.imdecode(np.frombuffer(encode_png(written), np.uint8), cv2.IMREAD_UNCHANGED)
    decoded = decoded[..., ::-1] if decoded.ndim == 3 else decoded
    np.testing.assert_array_equal(translation.apply(decoded).mask, ids)


@pytest.mark.parametrize(
    ("classes", "void"),
    [
        ({"background": "rest", "defect": [255]}, [0]),
        ({"sky": [1], "road": ["2-9"], "other": "rest"}, [0, "10-254", -9999]),
        ({"sky": [[1, 2, 3]], "other": "rest"}, ["0-254", [255, 255, 255], [0, 0, 1]]),
        ({"many": ["1-65534"], "other": "rest"}, [0]),
    ],
)
def test_the_class_rest_is_not_written_in_a_value_that_is_ignored(classes: dict[str, Any], void: list[Any]) -> None:
    translation = translation_of(classes, void)
    class_map = class_map_of(classes, translation, source="mask_folder", official_splits=False)
    ids = np.arange(len(classes), dtype=np.uint8)[None]
    np.testing.assert_array_equal(translation.apply(to_source_values(ids, class_map)).mask, ids)


def test_where_every_value_is_named_the_class_rest_cannot_be_written() -> None:
    classes = {"many": ["1-65535"], "other": "rest"}
    class_map = class_map_of(classes, translation_of(classes, [0]), source="mask_folder", official_splits=False)
    with pytest.raises(GraftError, match="no value is left in which the class rest could be written"):
        to_source_values(np.zeros((1, 1), np.uint8), class_map)


def test_a_value_that_no_mask_can_hold_is_refused() -> None:
    class_map = ClassMap("segmentation", ("a",), ((0, 0, 0),), ("folder",), False, False, "mask_folder")
    with pytest.raises(GraftError, match="no value of a mask"):
        to_source_values(np.zeros((2, 2), np.uint8), class_map)


def test_nothing_follows_a_picture(tmp_path: Path) -> None:
    file = save(tmp_path / "a.png", flag(10, 12))
    with pytest.raises(GraftError, match=r"--beside: the images of this model are pictures: nothing can follow them"):
        predict_files([str(file)], small_export(tmp_path / "model"), tmp_path / "out", ["{dir}/{stem}.tif"])
