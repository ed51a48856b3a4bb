"""`graft shrink`: its goal, its plan of attempts, what it writes into params.yaml, and what it tells."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from graft.cli import with_commands
from graft.cli.shrink import _write_winner
from graft.commands.shrink.goal import Goal, Outcome, frontier
from graft.commands.shrink.origin import Origin, find_origin
from graft.commands.shrink.plan import apply, differing, plan
from graft.commands.shrink.shrink import Course, from_outside, run_attempts
from graft.commands.shrink.shrink_page import START, rows_of, write_page
from graft.commands.shrink.siblings import find_siblings
from graft.commands.shrink.trial import Bench
from graft.foundation.content import write_json
from graft.foundation.errors import GraftError
from graft.models.architectures import resolve_model
from graft.models.saved_model import ModelSpec
from graft.models.weights.source import IMAGENET_MEAN, IMAGENET_STD
from graft.params.examination import check_file
from graft.params.params_file import load_params
from graft.params.recipes import ROOT, complete_text
from graft.params.yaml_tree import changed_lines, read_tree, write_tree

SHA = "0" * 64
SOURCE = {"name": "registry", "model_uri": "models:/graft-segmentation/3", "sha256": SHA}
TEACHER = {"model": "models:/graft-segmentation/3", "sha256": SHA}


def outcome(name: str, score: float, latency_ms: float, num_bytes: int = 1000) -> Outcome:
    """An attempt beside a model of score 0.7 that takes 12 ms."""
    return Outcome(name, name, score, latency_ms, 0.7, 12.0, num_bytes)


FAST, EXACT, BETWEEN = outcome("fast", 0.66, 3.0), outcome("exact", 0.705, 8.0), outcome("between", 0.695, 4.0)
BEATEN = outcome("beaten", 0.65, 9.0)


def spec_of(model: dict, task: str = "segmentation") -> ModelSpec:
    whole = resolve_model(task, model).as_dict()
    return ModelSpec(task, whole, 3, ("a", "b", "c"), IMAGENET_MEAN, IMAGENET_STD, {"name": "none"}, 32, False)


@pytest.fixture
def params_file(repository, tmp_path, monkeypatch) -> Path:
    """A project of fpn, as far as its params say."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(repository / "dvc.yaml", tmp_path)
    Path("data/raw").mkdir(parents=True)
    path = tmp_path / "params.yaml"
    path.write_text(complete_text(ROOT), encoding="utf-8")
    tree = read_tree(path)
    tree["model"] = {"name": "fpn", "encoder": "tu-tf_efficientnet_lite0"}
    tree["fine_tune"]["strategy"] = {"name": "supervised", "backbone_rate_factor": 0.3, "l2_sp_alpha": 0.1}
    write_tree(path, tree)
    return path


@pytest.fixture
def origin(tmp_path) -> Origin:
    spec_of({"name": "fpn", "encoder": "tu-tf_efficientnet_lite0"}).write(tmp_path / "spec.json")
    (tmp_path / "model.onnx").write_bytes(b"x" * 4000)
    return Origin(tmp_path, "digest", "models:/graft-segmentation/3, the champion", SOURCE, TEACHER, is_own=True)


def test_a_goal_holds_where_every_limit_does():
    goal = Goal(latency_ratio=3, num_bytes=1000, max_drop=0.01)
    assert goal.misses(BETWEEN) == {}  # 12 / 4 = 3 times as fast, 0.005 below
    assert goal.misses(FAST) == {"--max-drop": "0.0400"}
    assert goal.misses(EXACT) == {"--latency-ratio": "1.50"}
    assert goal.misses(BEATEN) == {"--latency-ratio": "1.33", "--max-drop": "0.0500"}
    assert goal.misses(outcome("large", 0.7, 4.0, 1001)) == {"--bytes": "1001"}
    assert Goal(latency_ms=3.5).misses(BETWEEN) == {"--latency-ms": "4.00"}
    assert Goal(latency_ms=4.0, max_drop=0.005).misses(BETWEEN) == {}  # 0.7 - 0.695 is 0.00500…04


def test_the_winner_is_the_highest_score_within_the_limits_and_the_faster_of_equals():
    goal = Goal(latency_ratio=1.5, max_drop=0.05)
    assert goal.winner([FAST, BETWEEN, EXACT, BEATEN]) is EXACT
    twin = replace(EXACT, name="twin", latency_ms=7.0)
    assert goal.winner([EXACT, twin]) is twin
    assert Goal(latency_ratio=5).winner([FAST, EXACT]) is None


def test_where_nothing_meets_the_goal_the_limit_to_relax_is_named_with_its_value():
    near = Goal(latency_ratio=3.5, max_drop=0.01).nearest([FAST, BETWEEN, EXACT, BEATEN])
    assert near == ["--max-drop 0.0400 would be met by fast", "--latency-ratio 3.00 would be met by between"]
    (far,) = Goal(latency_ratio=9, num_bytes=10).nearest([EXACT, BEATEN])
    assert far == "exact misses --latency-ratio (it would take 1.50) and --bytes (it would take 1000)"


def test_the_frontier_holds_what_no_other_beats_in_both():
    assert frontier([BEATEN, EXACT, FAST, BETWEEN]) == [FAST, BETWEEN, EXACT]
    assert frontier([EXACT, replace(EXACT, name="same but slower", latency_ms=8.5)]) == [EXACT]


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({}, "no limit is given"),
        ({"latency_ratio": 1.0}, "--latency-ratio is 1; faster is more than 1"),
        ({"latency_ratio": float("nan")}, "--latency-ratio is nan"),
        ({"latency_ratio": 2.0, "max_drop": -0.1}, "--max-drop is -0.1"),
        ({"latency_ratio": 2.0, "max_drop": 5}, "--max-drop is 5; a score falls by 0 to 1, and 0.01 is one point"),
        ({"latency_ms": 0.0}, "--latency-ms is 0"),
        ({"num_bytes": -1}, "--bytes is -1"),
    ],
)
def test_what_is_no_goal_is_refused(limits, said):
    with pytest.raises(GraftError, match="no goal") as refused:
        Goal(**limits)
    assert said in str(refused.value)


def test_siblings_are_smaller_and_come_largest_first():
    found = find_siblings(spec_of({"name": "fpn", "encoder": "tu-tf_efficientnet_lite0"}), (96, 130))
    narrower = [one.model for one in found if one.model["name"] == "fpn"]
    assert [(one["pyramid_channels"], one["branch_channels"]) for one in narrower] == [(128, 64), (64, 32)]
    assert [one.source for one in found if one.model["name"] == "fpn"] == [None, None]
    assert {one.model["backbone"] for one in found if one.model["name"] == "lraspp"} == {
        "efficientnet_lite0",
        "mobilenet_v3_large",
    }
    assert [one.share for one in found] == sorted((one.share for one in found), reverse=True)
    assert found[0].share < 0.8


def test_a_plain_network_is_halved_twice_and_its_siblings_start_from_nothing():
    found = find_siblings(spec_of({"name": "plain_cnn", "width": 16}, "classification"), (64, 64))
    assert [(one.model["width"], one.source) for one in found] == [(8, {"name": "none"}), (4, {"name": "none"})]


def test_the_light_classifier_is_for_those_that_are_heavier():
    (heavy,) = find_siblings(spec_of({"name": "resnet"}, "classification"), (64, 64))
    assert heavy.model == {"name": "timm", "variant": "tf_efficientnet_lite0"}
    assert not find_siblings(spec_of(dict(heavy.model), "classification"), (64, 64))


def test_the_plan_is_8_bits_then_pruning_then_siblings_and_each_in_8_bits(params_file, origin):
    siblings = find_siblings(origin.spec, (96, 128))
    attempts = plan(load_params(params_file), origin, siblings[:1], max_drop=0.01)
    assert [one.name for one in attempts] == [
        *("int8", "prune 50%", "prune 50%, int8", "prune 25%", "prune 25%, int8"),
        *("distil fpn 128", "distil fpn 128, int8"),
    ]
    assert [one.after for one in attempts] == ["", "", "prune 50%", "", "prune 25%", "", "distil fpn 128"]
    assert [one.target for one in attempts] == ["onnx_int8", "onnx"] + ["onnx_int8", "onnx"] * 2 + ["onnx_int8"]
    int8 = {"name": "onnx_int8", "max_score_difference": 0.005, "min_equal_fraction": 0.5}
    assert attempts[0].changes == {
        "export.targets": ["onnx", int8],
        "export.calibration": "train",
        "export.scan": "val",
    }
    pruned, taught = attempts[1].changes, attempts[5].changes
    assert pruned["pretrain_load.source"] == taught["pretrain_load.source"] == SOURCE
    assert pruned["fine_tune.strategy"] == {"name": "prune", "fraction": 0.5}
    assert "model" not in pruned
    assert taught["fine_tune.strategy"] == {"name": "distil", "teacher": TEACHER, "backbone_rate_factor": 0.3}
    assert attempts[2].changes == {**pruned, **attempts[0].changes}
    elsewhere = plan(load_params(params_file), replace(origin, is_own=False), [], 0.0)
    assert elsewhere[0].name == "prune 50%"  # 8 bits of what params.yaml does not make are none
    assert elsewhere[1].changes["export.targets"][1]["max_score_difference"] == 0.001


def test_what_an_attempt_writes_passes_check_and_changes_nothing_else(params_file, origin):
    before, tree = params_file.read_text("utf-8"), read_tree(params_file)
    (*_, last) = plan(load_params(params_file), origin, find_siblings(origin.spec, (96, 128))[:1], 0.01)
    written = apply(tree, last.changes)
    assert read_tree(params_file) == tree  # the tree itself stays
    changed = changed_lines(params_file, written)
    write_tree(params_file, written)
    assert check_file(params_file) == []
    assert load_params(params_file).export.targets == last.changes["export.targets"]
    keys = [line.split(":")[0].lstrip("+- ") for line in changed if line.startswith("+")]
    assert set(keys) == {"model", "source", "strategy", "baseline", "targets", "calibration", "scan"}
    assert "  baseline: false             # also train the same model from scratch" in params_file.read_text("utf-8")
    assert before.count("#") == params_file.read_text("utf-8").count("#")
    assert differing(written, last.changes) == []
    assert "fine_tune.baseline: false" in differing(tree, last.changes)


@pytest.mark.parametrize("is_changed", [False, True])
def test_the_winner_goes_into_params_as_they_are_by_then(params_file, origin, tmp_path, capsys, is_changed):
    bench = Bench(load_params(params_file), read_tree(params_file), origin, tmp_path / "kept")
    if is_changed:
        text = params_file.read_text("utf-8")
        params_file.write_text(text.replace("\nseed: 7", "\nseed: 8"), encoding="utf-8")
    first, *_ = plan(bench.params, origin, [], 0.01)
    _write_winner(first, bench)
    written, told = load_params(params_file), capsys.readouterr()
    assert (written.seed, written.export.scan) == (8 if is_changed else 7, "val")
    assert "+  scan: val" in told.out
    assert "seed" not in told.out
    assert ("params.yaml was changed while attempts ran" in told.err) == is_changed


def test_no_attempt_is_scored_on_test_and_its_key_changes_with_what_it_depends_on(params_file, origin, tmp_path):
    for name in ("src/graft", "pipeline"):
        (tmp_path / name).mkdir(parents=True)
    bench = Bench(load_params(params_file), read_tree(params_file), origin, tmp_path / "kept")
    first, second, *_ = attempts = plan(bench.params, origin, [], 0.01)
    assert {bench.tree_of(one)["evaluate"]["split"] for one in attempts} == {"val"}
    assert bench.params.evaluate.split == "test"
    again = Bench(load_params(params_file), read_tree(params_file), origin, tmp_path / "elsewhere")
    assert again.key_of(first) == bench.key_of(first) != bench.key_of(second)
    assert replace(bench, origin=replace(origin, digest="another")).key_of(first) != bench.key_of(first)
    assert replace(bench, num_threads=2).key_of(first) != bench.key_of(first)
    (tmp_path / "requirements.lock").write_text("other libraries")
    assert replace(bench).key_of(first) != bench.key_of(first)
    (tmp_path / "pipeline/export.py").write_text("another code")
    assert replace(bench).key_of(first) != bench.key_of(first)


def test_kept_outcomes_are_taken_and_the_course_ends_where_the_goal_is_met(params_file, origin, tmp_path):
    for name in ("src/graft", "pipeline"):
        (tmp_path / name).mkdir(parents=True)
    bench = Bench(load_params(params_file), read_tree(params_file), origin, tmp_path / "kept")
    attempts = plan(bench.params, origin, [], 0.01)
    bench.folder.mkdir()
    for attempt, values in zip(attempts, (FAST, BETWEEN, EXACT, EXACT, EXACT), strict=True):
        kept = replace(values, name=attempt.name)
        write_json(bench.folder / f"{bench.key_of(attempt)}.json", vars(kept))
    told: list[int] = []
    course = run_attempts(bench, attempts, Goal(3), minutes=1e-9, tell=lambda so_far: told.append(len(so_far.outcomes)))
    assert [one.name for one in course.outcomes] == ["int8", "prune 50%"]
    assert course.left == ["prune 50%, int8", "prune 25%", "prune 25%, int8"]
    assert told == [1, 2]
    assert len(run_attempts(bench, attempts, Goal(3), try_all=True).outcomes) == 5


def test_table_and_page_hold_every_attempt_and_the_model_it_began_from(origin, tmp_path):
    goal, course = Goal(latency_ratio=3), Course([FAST, BETWEEN, BEATEN], {"prune": "Rule: <no>"}, ["left over"])
    rows = rows_of(course.outcomes, origin, goal)
    assert [row["attempt"] for row in rows] == [START, "fast", "between", "beaten"]
    assert [row["on_frontier"] for row in rows] == ["yes", "yes", "yes", ""]
    assert rows[0] | {"score": "0.7000", "latency_ms": "12.00", "bytes": "4000"} == rows[0]
    assert [row["missed"] for row in rows] == ["--latency-ratio", "--max-drop", "", "--latency-ratio --max-drop"]
    page = write_page(course, origin, goal, "mean_iou", tmp_path / "shrink")
    with (tmp_path / "shrink/shrink.csv").open(encoding="utf-8") as file:
        assert list(csv.DictReader(file)) == rows
    text = page.read_text("utf-8")
    assert "3.00<small> times as fast" in text
    assert text.count("<circle") == 4
    assert "Rule: &lt;no&gt;" in text
    assert "left over" in text


def test_paths_that_git_does_not_hold_are_those_that_exist(params_file, origin):
    assert from_outside(load_params(params_file), origin) == ["data/raw", str(origin.folder)]


def test_without_a_model_there_is_nothing_to_shrink(params_file, monkeypatch):
    monkeypatch.setenv("GRAFT_TRACKING", "off")
    with pytest.raises(GraftError, match="there is no model to shrink"):
        find_origin(load_params(params_file))
    refused = CliRunner().invoke(with_commands(), ["shrink", "--bytes", "5"])
    assert isinstance(refused.exception, GraftError)
    assert not Path("reports").exists()
