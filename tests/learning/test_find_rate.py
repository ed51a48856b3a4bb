"""`graft find-rate`: what it finds, what it leaves alone, and what it refuses."""

from __future__ import annotations

import csv
import math
import re
import shutil

import numpy as np
import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from graft.cli import with_commands
from graft.commands.find_rate import LAST_LOSSES, find_rate
from graft.foundation.content import sha256_of
from graft.foundation.errors import GraftError
from graft.params.sections import Preprocess
from graft.training.start import begin
from tests import tiny_training

TASK = "classification"


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return tiny_training.prepare(tmp_path_factory.mktemp("photographs"), TASK, num_samples=8)


def beginning_of(folder, **changes):
    return begin(
        TASK,
        7,
        tiny_training.MODELS[TASK],
        Preprocess(resize="none"),
        tiny_training.runtime(),
        tiny_training.section(batch_size=4, **changes),
        folder / "augmented",
        folder / "class_map.json",
        folder / "pretrained",
    )


@pytest.fixture(scope="module")
def found(photographs):
    return find_rate(beginning_of(photographs), lowest=1e-6, highest=10.0, num_steps=40)


def test_rates_rise_by_the_same_ratio_over_many_epochs(found):
    ratios = np.diff(np.log10(found.rates))
    assert found.rates[0] == pytest.approx(1e-6)
    assert ratios == pytest.approx(np.full(len(ratios), 7 / 39))
    assert len(found.rates) > 8  # an epoch has two steps


def test_suggestions_lie_where_the_loss_falls(found):
    smoothed, at = np.array(found.smoothed), found.rates.index(found.at_minimum)
    assert smoothed[at] == smoothed.min()
    assert found.tenth_of_minimum == found.at_minimum / 10
    assert found.peak_of_one_cycle == found.at_minimum / 3
    assert found.steepest < found.at_minimum
    fastest = found.rates.index(found.steepest)
    assert smoothed[fastest + 1] < smoothed[fastest - 1]


def test_it_ends_early_when_the_loss_grows(found):
    """At a rate of ten Adam moves every weight by ten a step: no loss survives that."""
    assert found.has_diverged
    assert len(found.rates) < 40
    assert all(map(math.isfinite, found.losses))
    means = np.convolve(found.losses, np.full(LAST_LOSSES, 1 / LAST_LOSSES), "valid")
    assert means.max() <= 4 * means.min()


def test_the_same_test_finds_the_same(photographs, found):
    again = find_rate(beginning_of(photographs), lowest=1e-6, highest=10.0, num_steps=40)
    assert (again.rates, again.losses) == (found.rates, found.losses)


def test_a_step_of_several_batches_counts_once(photographs):
    wide = beginning_of(photographs, accumulate_steps=2, sampling="balanced", mixing="mixup")
    found = find_rate(wide, lowest=1e-5, highest=1e-2, num_steps=10)
    assert len(found.rates) == 10


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lowest": 1e-2, "highest": 1e-3, "num_steps": 40}, r"rates from 0\.01 to 0\.001 in 40 steps are no range"),
        ({"lowest": 1e-6, "highest": 1.0, "num_steps": 5}, r"in 5 steps are no range.*at least 10 steps"),
        ({"lowest": 1e3, "highest": 1e6, "num_steps": 10}, r"no learning rate can be suggested.*lower --lowest"),
    ],
)
def test_what_is_no_range_is_refused(photographs, settings, message):
    with pytest.raises(GraftError, match=message):
        find_rate(beginning_of(photographs), **settings)


@pytest.fixture
def project(repository, tmp_path, monkeypatch):
    """A project whose params are those of the tiny training, without data."""
    shutil.copy(repository / "dvc.yaml", tmp_path)
    yaml = YAML()
    params = yaml.load((repository / "params.yaml").read_text(encoding="utf-8"))
    params["task"], params["model"] = TASK, tiny_training.MODELS[TASK]
    params["runtime"]["num_threads"] = 1
    params["fine_tune"] |= {"batch_size": 4, "schedule": "one_cycle"}
    yaml.dump(params, tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def invoked(*arguments):
    return CliRunner().invoke(with_commands(), ["find-rate", *arguments])


def test_the_command_prints_draws_and_leaves_the_weights_alone(project, photographs):
    for source, place in (("augmented", "data/augmented"), ("pretrained", "models/pretrained")):
        shutil.copytree(photographs / source, project / place)
    (project / "data/interim").mkdir()
    shutil.copy(photographs / "class_map.json", project / "data/interim")
    before = {path: sha256_of(path) for path in project.rglob("*") if path.is_file()}
    result = invoked("--steps", "12", "--highest", "0.1")
    assert result.exit_code == 0, result.output
    rates = [float(rate) for rate in re.findall(r"(?:fastest at|rate|third|has) +(\d\.\de-?\d+)", result.output)]
    assert len(rates) == 4
    assert rates[2] == pytest.approx(rates[1] * 10 / 3, rel=0.1)  # as printed
    assert rates[3] == 1e-3  # of params.yaml
    assert {path: sha256_of(path) for path in before} == before
    with (project / "reports/find_rate/range_test.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["learning_rate", "loss", "smoothed_loss"]
    assert len(rows) <= 12
    assert (project / "reports/find_rate/range_test.png").read_bytes().startswith(b"\x89PNG")


def test_without_data_it_says_what_to_run(project):
    error = invoked().exception
    assert isinstance(error, GraftError)
    said = r"not found: data/augmented/index\.json, .*models/pretrained/weights\.safetensors.*dvc repro augment"
    assert re.search(said, str(error), re.DOTALL)
