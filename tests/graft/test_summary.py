"""What `make repro` ends with."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from graft.commands.adaptation_table import adaptation_table, oracle_scores
from graft.commands.summary import print_summary
from graft.foundation.class_map import ClassMap
from graft.foundation.content import read_json, write_json
from graft.foundation.errors import GraftError
from graft.provenance.stages import CLASS_MAP, EXPORTED, MEASURED, PARITY, SCORES, measured_path, record_path
from tests.evaluable import rows_of, run_evaluate, write_inputs
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


def test_an_oracle_shows_how_much_of_the_gap_adaptation_closed():
    """(0.5 - 0.25) / (0.75 - 0.25); no gap is closed where the oracle is no better, or a domain has no score."""
    parts = [{"accuracy": 0.5}, {"accuracy": 0.75}, {"accuracy": 0.25}]
    adapted = {"accuracy": 0.5, "per_domain": dict(zip(("day", "fog", "night"), parts, strict=True))}
    before = [{"accuracy": 0.5}, {"accuracy": None}, {"accuracy": 0.0}]
    unadapted = {"accuracy": 0.25, "per_domain": dict(zip(("day", "fog", "night"), before, strict=True))}
    oracle = {"all images": 0.75, "day": 0.5, "fog": 0.8, "night": 0.2}
    columns = {c.header: list(c.cells) for c in adaptation_table(adapted | {"source_only": unadapted}, oracle).columns}
    assert columns == {
        "domain": ["all images", "day", "fog", "night"],
        "source only": ["25.0%", "50.0%", "absent", "0.0%"],
        "adapted": ["50.0%", "50.0%", "75.0%", "25.0%"],
        "oracle": ["75.0%", "50.0%", "80.0%", "20.0%"],
        "gain": ["+25.0 points", "+0.0 points", "", "+25.0 points"],
        "gap closed": ["50%", "–", "–", "125%"],
    }
    plain = [column.header for column in adaptation_table(adapted, oracle).columns]
    assert plain == ["domain", "adapted", "oracle"]


def test_an_oracle_is_compared_on_the_very_same_images(tmp_path, monkeypatch):
    """Two evaluations of the same six images, and one where another image stands in the place of the last."""
    rows = rows_of("classification")
    places = {"adapted": rows, "oracle": rows, "another": [*rows[:5], replace(rows[5], image_sha256="f" * 64)]}
    for name, of_place in places.items():
        write_inputs(tmp_path / name, "classification", others=(), rows=of_place)
        run_evaluate(tmp_path / name, "classification")
    monkeypatch.chdir(tmp_path / "adapted")
    metrics = read_json(Path(SCORES))
    found = oracle_scores(tmp_path / "oracle/reports/evaluation", metrics)
    assert found == {
        "all images": metrics["accuracy"],
        "day": metrics["per_domain"]["day"]["accuracy"],
        "night": metrics["per_domain"]["night"]["accuracy"],
    }
    with pytest.raises(GraftError, match="the oracle was scored on other images than this model"):
        oracle_scores(tmp_path / "another/reports/evaluation", metrics)
    theirs = tmp_path / "oracle/reports/evaluation/metrics.json"
    write_json(theirs, read_json(theirs) | {"true_share": {"ant": 0.5, "wasp": 0.5}})
    with pytest.raises(GraftError, match="other classes apart than this model: ant, wasp"):
        oracle_scores(theirs.parent, metrics)
    with pytest.raises(GraftError, match=r"there is no metrics.json in it.*Remedy: correct --oracle"):
        oracle_scores(tmp_path, metrics)


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
