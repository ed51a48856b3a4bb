"""A classifier goes through the same seven stages, from pictures to the registry."""

from __future__ import annotations

import pytest

from graft.foundation.content import read_json
from tests.end_to_end.project import STAGES, Project

pytestmark = pytest.mark.slow  # tests/pipeline/test_recipes_run.py takes a classifier through the stages each time


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("classifier") / "project")
    project.set(
        {
            "task": "classification",
            "model": {"name": "mobilenet_v3", "variant": "large"},
            "ingest.source": {
                "name": "scenes",
                "domain": "day,night,fog",
                "num_train": 24,
                "num_val": 9,
                "num_test": 9,
                "width_px": 128,
                "height_px": 96,
            },
            "augment.policy": {"name": "light"},
            "fine_tune.baseline": False,
        }
    )
    project.run("dvc", "repro")
    return project


def test_it_is_scored_and_registered(classifier):
    metrics = read_json(classifier.root / "reports/evaluation/metrics.json")
    assert 0 <= metrics["accuracy"] <= 1
    assert 0 <= metrics["macro_f1"] <= 1
    client = classifier.store()
    version = client.get_model_version_by_alias("graft-classification", "candidate")
    assert version.tags["graft.model_digest"] == classifier.record("export")["outputs"]["models/exported"]
    assert all(classifier.record(stage)["params"]["task"] == "classification" for stage in STAGES)


def test_its_backbone_came_from_the_bundled_weights(classifier):
    card = read_json(classifier.root / "models/pretrained/card.json")
    assert card["name"] == "bundled"
    assert card["backbone_fraction"] == 1.0


def test_it_predicts_labels_and_ends_in_a_table(classifier, tmp_path):
    out = tmp_path / "labels"
    image = tmp_path / "night.png"
    from graft.data.images.codec import encode_png
    from graft.scenes import render

    image.write_bytes(encode_png(render(1, "night", 2).image))
    classifier.run("graft", "predict", str(image), "--out", str(out))
    (table,) = out.rglob("*.csv")
    assert "night.png" in table.read_text("utf-8")
    assert "accuracy" in classifier.run("graft", "summary").stdout
