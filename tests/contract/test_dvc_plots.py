"""The plots and metrics of dvc.yaml, as DVC itself fills them: each curve a series, losses apart from scores."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from graft.foundation.content import write_json
from graft.provenance.stages import CURVES, EVALUATION

RUNS, EPOCHS = ("fine_tuned", "baseline"), (1, 2, 3)


def write_curves(shift: float) -> None:
    rows = [
        f"{run},{epoch},{4 * epoch},{epoch + shift},{epoch + 1.5},0.{epoch},0.001" for run in RUNS for epoch in EPOCHS
    ]
    text = "\n".join(["run,epoch,step,train_loss,val_loss,val_score,learning_rate", *rows])
    Path(CURVES).write_text(f"{text}\n", "utf-8")
    write_json(Path(EVALUATION) / "headline.json", {"mean_iou": 0.5 + shift})


def git(*arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments], check=True, capture_output=True)


@pytest.fixture
def two_commits(repository, tmp_path, monkeypatch) -> None:
    """A repository with the plots and metrics of dvc.yaml, and two versions of the files they show."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(repository / ".dvc/plots", ".dvc/plots")
    Path(".dvc/config").write_text("[core]\n    analytics = false\n")
    declared = YAML(typ="safe").load(repository / "dvc.yaml")
    YAML().dump({name: declared[name] for name in ("metrics", "plots")}, Path("dvc.yaml"))
    for folder in (Path(CURVES).parent, Path(EVALUATION)):
        folder.mkdir(parents=True)
    git("init", "-q")
    for shift in (0.0, 0.25):
        write_curves(shift)
        git("add", "-f", "-A")
        git("commit", "-q", "-m", "one")


def asked(*command: str) -> Any:
    """The answer of a command of DVC. A process of its own: DVC prints to the standard output it was imported with."""
    dvc = Path(sys.executable).with_name("dvc")
    return json.loads(subprocess.run([dvc, *command, "--json"], check=True, capture_output=True).stdout)


def shown(*command: str) -> dict[str, Any]:
    """The plots of a command by title, filled as a browser gets them."""
    plots = asked("plots", *command)["data"].values()
    contents = [plot["content"] for found in plots for plot in found if "content" in plot]
    return {content["title"]: content for content in contents if isinstance(content["title"], str)}


def series(plot: dict[str, Any]) -> Counter[tuple[str, ...]]:
    """The number of points of each curve: revision, run and column."""
    return Counter((row["rev"], row["run"], row["field"]) for row in plot["data"]["values"])


@pytest.mark.parametrize(("command", "revisions"), [("show", ["workspace"]), ("diff", ["workspace", "HEAD~1"])])
def test_every_curve_is_a_series_of_its_own(two_commits, command, revisions):
    plots = shown(command, *revisions[1:])
    losses, scores = plots["Losses"], plots["Validation score"]
    expected = {
        (rev, run, name): len(EPOCHS) for rev in revisions for run in RUNS for name in ("train_loss", "val_loss")
    }
    assert series(losses) == expected
    assert series(scores) == {(rev, run, "val_score"): len(EPOCHS) for rev in revisions for run in RUNS}
    for plot in (losses, scores):
        told_apart = [plot["encoding"]["color"]["field"], plot["layer"][0]["encoding"]["strokeDash"]["field"]]
        assert told_apart == ["curve", "of"]  # run and revision; loss of train or val
        made_of = {step["as"]: step["calculate"] for step in plot["transform"] if "as" in step}
        assert "datum.model + ', ' + datum.rev" in made_of["curve"]
        assert "datum.run" in made_of["model"]
        assert "datum.field" in made_of["of"]
    assert "datum['dvc_inferred_y_value']" in json.dumps(losses["transform"])
    assert "datum['val_score']" in json.dumps(scores["transform"])


def test_dvc_shows_a_few_scores_and_how_they_changed(two_commits):
    found = asked("metrics", "diff", "HEAD~1")
    assert found == {"reports/evaluation/headline.json": {"mean_iou": {"old": 0.5, "new": 0.75, "diff": 0.25}}}
