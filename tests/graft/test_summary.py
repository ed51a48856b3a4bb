"""What `make repro` ends with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from graft.commands.summary import print_summary
from graft.foundation.class_map import ClassMap
from graft.foundation.content import write_json
from graft.provenance.stages import CLASS_MAP, EXPORTED, MEASURED, PARITY, SCORES, measured_path, record_path
from tests.seven_records import READS, record

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


def test_it_shows_the_files_of_several_targets_side_by_side(tmp_path, monkeypatch, capsys):
    """Time and memory only of this very export."""
    report = {"original_score": 0.5, "exported_score": 0.5, "equal_fraction": 1.0}
    small = {"original_score": 0.5, "exported_score": 0.4975, "equal_fraction": 0.98, "num_bytes": 260, "num_images": 3}
    made = dict.fromkeys(READS["export"], "a" * 64)
    for path in (tmp_path / EXPORTED, tmp_path / MEASURED, (tmp_path / record_path("export")).parent):
        path.mkdir(parents=True)
    (tmp_path / EXPORTED / "model.onnx").write_bytes(b"x" * 1000)
    write_json(tmp_path / PARITY, {**report, "images": ["a", "b"], "targets": {"onnx_int8": small}})
    monkeypatch.chdir(tmp_path)
    write_json(record_path("export"), export := record("export", 1, made))
    measured = {"fingerprint": export["fingerprint"], "onnx_ms": 2.0, "eager_ms": 3.0, "onnx_int8_ms": 0.84}
    write_json(tmp_path / measured_path("export"), {**measured, "peak_bytes": {"onnx": 2**21, "onnx_int8": 2**20}})
    printed = summary_of(SCORED, monkeypatch, tmp_path, capsys)
    lines = printed.partition("Exported files")[2].splitlines()
    table = [re.sub(r"[│┃ ]+", " ", line).strip() for line in lines]
    assert "onnx 1,000 50.00% +0.00 100.000% 2.0 2 MiB" in table
    assert "onnx_int8 260 49.75% -0.25 98.000% 0.8 1 MiB" in table
    assert "onnx on 2 images, the others on 3." in " ".join(table)
