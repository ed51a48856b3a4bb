"""What `make repro` ends with."""

from __future__ import annotations

from pathlib import Path

import pytest

from graft.commands.summary import print_summary
from graft.foundation.class_map import ClassMap
from graft.foundation.content import write_json
from graft.provenance.stages import CLASS_MAP, SCORES

SCORED = {"num_images": 3, "split": "test", "synthetic": True, "accuracy": 0.5, "recall": {"ant": 0.25, "bee": 0.75}}


@pytest.mark.parametrize(
    ("store", "shown"),
    [
        ("https://mlflow.example.org:8443", "MLflow UI  https://mlflow.example.org:8443\n"),
        ("", "MLflow UI  .venv/bin/mlflow ui --backend-store-uri sqlite:///mlflow.db   then http://127.0.0.1:5000\n"),
    ],
)
def test_it_says_where_to_look(store, shown, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    for path in (SCORES, CLASS_MAP):
        Path(path).parent.mkdir(parents=True)
    write_json(Path(SCORES), SCORED)
    ClassMap("classification", ("ant", "bee"), ((0, 0, 0),) * 2, (0, 1), False, True, "image_folder").write(
        Path(CLASS_MAP)
    )
    print_summary()
    printed = capsys.readouterr().out
    assert shown in printed
    assert "50.0%" in printed
