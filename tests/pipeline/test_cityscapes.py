"""A miniature of Cityscapes, from the folders it is published in to a model that answers in its label ids."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from graft.data.formats.cityscapes import CLASSES
from graft.deployment.prediction_files import predict_files
from graft.foundation.class_map import ClassMap
from graft.foundation.content import read_json
from tests.formats_layouts.published import LABEL_IDS, make_cityscapes
from tests.seven_stages import run_stages, small_params

SIZE = (48, 160)
NAMES = tuple(name for name, _, _ in CLASSES)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the seven stages made of the miniature; the miniature itself is in `raw`."""
    folder = tmp_path_factory.mktemp("cityscapes")
    make_cityscapes(folder / "raw", size=SIZE, painted=True)
    params = small_params(
        "cityscapes",
        **{"augment.crop": {"height_px": 48, "width_px": 80}, "augment.policy": {"name": "street", "strength": 0.0}},
        **{"fine_tune.epochs": 12, "fine_tune.batch_size": 2, "fine_tune.learning_rate": 4e-3},
        **{"model": {"name": "plain_fcn"}, "pretrain_load.source": "none"},
    )
    run_stages(folder / "raw", folder, params)
    return folder


def test_19_classes_from_ingest_to_export(work: Path) -> None:
    for stage in ("interim", "exported"):
        assert ClassMap.read(work / stage / "class_map.json").names == NAMES
    metrics = read_json(work / "scores/metrics.json")
    assert set(metrics["iou"]) == set(NAMES)
    assert metrics["mean_iou"] > 0.2  # by chance it is 1/37


def test_the_exported_model_answers_in_label_ids(work: Path, tmp_path: Path) -> None:
    folder = work / "raw/leftImg8bit/val/munster"
    predict_files([str(folder)], work / "exported", tmp_path)
    masks = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted(tmp_path.rglob("masks/**/*.png"))]
    truth = [
        cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        for path in sorted((work / "raw/gtFine/val/munster").glob("*_labelIds.png"))
    ]
    assert len(masks) == len(truth) == 2
    for mask, true in zip(masks, truth, strict=True):
        assert mask.shape == SIZE
        assert set(np.unique(mask)) <= set(LABEL_IDS)
        assert (mask == true).mean() > 0.3  # by chance 1/20
