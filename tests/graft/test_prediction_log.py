"""`graft predict --log`: each image once, whoever logs it, and the way back as a delivery."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from graft.data.images.codec import encode_png
from graft.deployment.prediction_files import predict_files
from graft.deployment.prediction_log import PredictionLog
from graft.deployment.serving.predictor import Predictor
from graft.foundation.class_map import ClassMap
from graft.foundation.errors import GraftError
from tests.formats_layouts.pictures import run_ingest
from tests.graft.small_export import bands, flag, small_export


def lines_of(log: Path) -> list[dict[str, str]]:
    with (log / "predictions.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def photographs(folder: Path, num: int) -> Path:
    folder.mkdir()
    for number in range(num):
        (folder / f"{number}.png").write_bytes(encode_png(flag(40 + number, 60)))
    return folder


def test_each_image_is_logged_once_and_comes_back_when_a_person_has_looked_at_it(tmp_path: Path) -> None:
    images, log = photographs(tmp_path / "in", 4), tmp_path / "log"
    model = small_export(tmp_path / "model", source_values=(0, 7, 9))
    first = predict_files([str(images)], model, tmp_path / "out", log=log, version="models:/flags/3")
    assert "4 images logged" in str(first)
    (images / "copy.png").write_bytes((images / "0.png").read_bytes())
    second = predict_files([str(images)], model, tmp_path / "out", log=log, version="models:/flags/4")
    assert "0 images logged (0.0 MB), 5 were there" in str(second)
    lines = lines_of(log)
    assert {(line["split"], line["model"]) for line in lines} == {("unlabelled", "models:/flags/3")}
    assert all(0.3 < float(line["confidence"]) <= 1 for line in lines)
    text = (log / "predictions.csv").read_text(encoding="utf-8").splitlines()
    reviewed = [text[0], *(line.replace("unlabelled", "train") for line in text[1:3]), text[3], text[4]]
    reviewed[3] = reviewed[3].replace("unlabelled", "val")
    (log / "predictions.csv").write_text("\n".join(reviewed) + "\n", encoding="utf-8")
    assert first.log is not None
    found = run_ingest(log, tmp_path / "interim", first.log.source())
    assert found.metrics == {"num_images": 4, "num_train": 2, "num_val": 1, "num_unlabelled": 1}
    masks = {line["image"]: line["file"] for line in lines}
    for id in found.ids("train"):
        size = 40 + int(Path(masks[id]).stem), 60
        np.testing.assert_array_equal(found.mask(id), bands(*size))


def test_labels_are_logged_too_and_not_into_a_log_of_masks(tmp_path: Path) -> None:
    images, log = photographs(tmp_path / "in", 2), tmp_path / "log"
    predict_files([str(images)], small_export(tmp_path / "m", "classification"), tmp_path / "out", log=log)
    assert [line["label"] for line in lines_of(log)] == ["blue", "blue"]
    with pytest.raises(GraftError, match=r"it logs image, label, split.*name another folder"):
        predict_files([str(images)], small_export(tmp_path / "n"), tmp_path / "out", log=log)


def test_two_writers_see_each_other_s_lines_and_half_a_line_is_cut_off(tmp_path: Path) -> None:
    classes = ClassMap("classification", ("cat", "dog"), ((0, 0, 0), (9, 9, 9)), ("cat", "dog"), False, False, "csv")
    one, other = (PredictionLog(tmp_path / "log", "models:/pets/1", classes) for _ in range(2))
    assert one.add(b"first", ".jpg", np.array(1), 0.9)
    assert not other.add(b"first", ".jpg", np.array(1), 0.9)
    with (tmp_path / "log/predictions.csv").open("ab") as table:
        table.write(b"images/0123")  # killed here
    assert other.add(b"second", ".jpg", np.array(0), 0.8, "a\nb,c.jpg")
    assert not one.add(b"second", ".jpg", np.array(0), 0.8)
    assert [(line["label"], line["file"]) for line in lines_of(tmp_path / "log")] == [("dog", ""), ("cat", "a b,c.jpg")]
    assert PredictionLog(tmp_path / "log", "models:/pets/2", classes).add(b"third", ".jpg", np.array(0), 0.5)
    assert len(list((tmp_path / "log/images").iterdir())) == 3


def test_a_server_logs_what_it_is_asked_and_answers_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    predictor = Predictor(small_export(tmp_path / "model"), tmp_path / "log", "digest 0123")
    image = encode_png(flag(30, 45))
    assert len(predictor.answers([image, image])) == 2
    (line,) = lines_of(tmp_path / "log")
    assert line["image"].endswith(".png")
    assert line["model"] == "digest 0123"

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device", "log")

    monkeypatch.setattr(PredictionLog, "_append", fail)
    assert len(predictor.answers([encode_png(flag(31, 45))])) == 1
    assert "log: this prediction was not logged (No space left on device)" in capsys.readouterr().err
