"""The benchmark of quality plans, keeps and compares as its page says; nothing is trained here."""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

import pytest

from benchmarks import effects
from benchmarks.__main__ import BEFORE, read_change
from benchmarks.quality import choose_goals
from benchmarks.quality_goals import AS_USUAL, BEST, FORTY, PHOTOGRAPHS, SHORT, TINY, until_mark
from benchmarks.recipe_runs import (
    Checkout,
    RecipeResult,
    RecipeRun,
    best_of,
    check_out,
    list_code,
    read_curves,
    seconds_until,
)
from graft.foundation.content import write_json
from graft.params.recipes import compose
from graft.params.sections import Params
from graft.params.yaml_tree import plain


def result(*scores: float, seconds: float = 10.0) -> RecipeResult:
    curve = [(seconds * (number + 1), score) for number, score in enumerate(scores)]
    return RecipeResult("c0ffee0", BEST, {}, {}, 0.0, {"fine_tuned": curve}, {})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder as the stages leave it, with val scored in every second epoch."""
    folder = tmp_path / "project"
    for stage in ("ingest", "validate", "augment", "pretrain-load"):
        (folder / "reports/measured").mkdir(parents=True, exist_ok=True)
        write_json(folder / f"reports/measured/{stage}.json", {"seconds": 2.5})
    costs = [{"epoch": epoch, "seconds": 10.0} for epoch in (1, 2)]
    write_json(folder / "reports/measured/fine-tune.json", {"fine_tuned.epochs": costs, "baseline.epochs": costs})
    (folder / "reports/fine_tuning").mkdir()
    rows = ["fine_tuned,1,", "fine_tuned,2,0.5", "baseline,1,0.25", "baseline,2,0.125"]
    (folder / "reports/fine_tuning/curves.csv").write_text("\n".join(["run,epoch,val_score", *rows]) + "\n")
    return folder


def test_a_curve_counts_the_stages_before_and_leaves_out_epochs_without_a_score(project: Path) -> None:
    assert read_curves(project) == {"fine_tuned": [(30.0, 0.5)], "baseline": [(20.0, 0.25), (30.0, 0.125)]}


def test_a_score_is_the_best_within_a_time() -> None:
    curve = result(0.2, 0.6, 0.5).curves["fine_tuned"]
    assert [best_of(curve), best_of(curve, 19.0), best_of(curve, 5.0)] == [0.6, 0.2, 0.0]
    assert [seconds_until(curve, 0.5), seconds_until(curve, 0.7)] == [20.0, None]


def test_the_time_until_a_mark_is_a_share_of_the_others_whole_time() -> None:
    share, seconds = until_mark("ours", "of theirs", [(0.5, 80.0), (0.2, 40.0)], [result(0.2, 0.6), result(0.3)], 1 / 3)
    assert (share.value, share.spread, share.holds) == (0.25, (0.25, 0.25), True)
    assert (seconds.value, seconds.spread) == (15.0, (10.0, 20.0))


def test_a_mark_that_one_seed_misses_is_not_reached() -> None:
    (missed,) = until_mark("ours", "", [(0.5, 80.0), (0.5, 80.0)], [result(0.6), result(0.4)], 1 / 3)
    assert "not reached" in missed.what
    assert (missed.value, missed.at_least) == (0.5, 0.5)


def test_an_effect_that_is_never_as_good_is_told_by_its_whole_time() -> None:
    plain = [result(0.2, 0.4)]
    assert [figure.value for figure in effects.compare("better", [result(0.4, 0.6)], plain)] == [0.6, 0.5]
    _, time = effects.compare("worse", [result(0.3, 0.3, 0.3)], plain)
    assert (time.value, time.what) == (1.5, "plain score not reached, whole time")


def test_goals_are_named_by_number() -> None:
    assert choose_goals(["1", "3"]) == ["1", "3a", "3b"]
    assert choose_goals(None) == []
    with pytest.raises(SystemExit, match="no goal is called 9"):
        choose_goals(["1", "9"])


def test_a_change_is_a_key_and_yaml() -> None:
    assert read_change("fine_tune.sizes=[0.5, 1]") == ("fine_tune.sizes", [0.5, 1])
    assert read_change("pretrain_load.source={name: none}") == ("pretrain_load.source", {"name": "none"})
    with pytest.raises(argparse.ArgumentTypeError, match="KEY=VALUE"):
        read_change("fine_tune.epochs")


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        (PHOTOGRAPHS, FORTY),
        (SHORT, AS_USUAL),
        (BEST, TINY),
        *((SHORT, effects.PLAIN | changes) for changes in effects.ALONE.values()),
    ],
)
def test_the_changes_of_a_goal_are_values_of_params(recipe: str, changes: dict) -> None:
    tree = plain(compose(recipe))
    for key, value in changes.items():
        section, _, field = key.partition(".")
        assert section in tree
        if field:
            assert field in tree[section]
            tree[section][field] = value
        else:
            tree[section] = value
    Params(**tree)


def test_a_kept_result_is_read_in_the_place_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout, run, ran = Checkout("c0ffee0", tmp_path / "kept/now"), RecipeRun(BEST, {"seed": 3}), []
    monkeypatch.setattr(Checkout, "params_of", lambda self, run: {"recipe": run.recipe, **run.changes})
    monkeypatch.setattr("benchmarks.recipe_runs.list_code", lambda folder, until: "code")
    monkeypatch.setattr(Checkout, "_run", lambda self, run, key: ran.append(run) or result(0.5))
    (tmp_path / "kept").mkdir()
    assert [checkout.train(run), checkout.train(run)] == [result(0.5)] * 2
    checkout.train(RecipeRun(BEST, {"seed": 4}))
    assert [run.changes["seed"] for run in ran] == [3, 4]
    assert all(json.loads(file.read_text())["commit"] == "c0ffee0" for file in (tmp_path / "kept").iterdir())


def test_the_code_of_a_run_is_what_its_stages_name(repository: Path) -> None:
    if subprocess.run(["git", "-C", repository, "rev-parse", "-q", "--verify", "HEAD"], capture_output=True).returncode:
        pytest.skip("not a git repository")
    code = list_code(repository, "fine-tune")
    assert "pipeline/fine_tune.py" in code
    assert "src/graft/training" in code
    assert "pipeline/evaluate.py" not in code
    assert "pipeline/export.py" in list_code(repository, None)


def test_a_commit_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no commit 'no-such-build'"):
        check_out("no-such-build", tmp_path / "before")
    assert len(BEFORE) == 7
