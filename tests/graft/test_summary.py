"""What `make repro` ends with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from graft.commands.summary import print_summary
from graft.foundation.class_map import ClassMap
from graft.foundation.content import write_json
from graft.provenance.stages import CLASS_MAP, SCORES

SCORED = {"num_images": 3, "split": "test", "synthetic": True, "accuracy": 0.5, "recall": {"ant": 0.25, "bee": 0.75}}


def summary_of(metrics, monkeypatch, tmp_path, capsys):
    """What is printed of the content of a metrics.json."""
    monkeypatch.chdir(tmp_path)
    for path in (SCORES, CLASS_MAP):
        Path(path).parent.mkdir(parents=True)
    write_json(Path(SCORES), metrics)
    ClassMap("classification", ("ant", "bee"), ((0, 0, 0),) * 2, (0, 1), False, True, "image_folder").write(
        Path(CLASS_MAP)
    )
    print_summary()
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("store", "shown"),
    [
        ("https://mlflow.example.org:8443", "MLflow UI  https://mlflow.example.org:8443\n"),
        ("", "MLflow UI  .venv/bin/mlflow ui --backend-store-uri sqlite:///mlflow.db   then http://127.0.0.1:5000\n"),
    ],
)
def test_it_says_where_to_look(store, shown, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    printed = summary_of(SCORED, monkeypatch, tmp_path, capsys)
    assert shown in printed
    assert "50.0%" in printed


def test_it_says_by_domain_what_adaptation_gained(tmp_path, monkeypatch, capsys):
    domains = {"day": {"accuracy": 0.75}, "night": {"accuracy": 0.25}}
    before = {"accuracy": 0.375, "per_domain": {"day": {"accuracy": 0.75}, "night": {"accuracy": None}}}
    printed = summary_of(SCORED | {"per_domain": domains, "source_only": before}, monkeypatch, tmp_path, capsys)
    table = [
        re.sub(r"[│┃ ]+", " ", line).strip() for line in printed.partition("What adaptation gained")[2].splitlines()
    ]
    assert "all images 37.5% 50.0% +12.5 points" in table
    assert "day 75.0% 75.0% +0.0 points" in table
    assert "night absent 25.0%" in table
