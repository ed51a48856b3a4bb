"""`graft find-runtime`: what it measures, what it writes, and what it leaves alone."""

from __future__ import annotations

import shutil

import pytest
from typer.testing import CliRunner

from graft.cli import with_commands
from graft.commands import find_runtime as command
from graft.commands.find_runtime import Timing, best_of, candidates_of, changes, find_runtime
from graft.foundation.content import sha256_of
from graft.foundation.errors import GraftError
from graft.params.params_file import load_params
from graft.params.yaml_tree import read_tree, write_tree
from graft.provenance.rehearsal import begin_here
from tests import tiny_training

TASK = "classification"


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return tiny_training.prepare(tmp_path_factory.mktemp("photographs"), TASK, num_samples=8)


@pytest.fixture
def project(repository, photographs, tmp_path, monkeypatch):
    """A project with data, whose params are those of the tiny training and whose steps are as few as can be."""
    for place in ("dvc.yaml", "params.yaml"):
        shutil.copy(repository / place, tmp_path)
    tree = read_tree(tmp_path / "params.yaml")
    tree["task"], tree["model"], tree["fine_tune"]["batch_size"] = TASK, tiny_training.MODELS[TASK], 4
    tree["runtime"]["num_threads"] = 1
    write_tree(tmp_path / "params.yaml", tree)
    for source, place in (("augmented", "data/augmented"), ("pretrained", "models/pretrained")):
        shutil.copytree(photographs / source, tmp_path / place)
    (tmp_path / "data/interim").mkdir()
    shutil.copy(photographs / "class_map.json", tmp_path / "data/interim")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "FEWEST_STEPS", 1)
    monkeypatch.setattr(command, "num_usable_cores", lambda: 1)
    return tmp_path


def invoked(*arguments):
    return CliRunner().invoke(with_commands(), ["find-runtime", "--seconds", "0.01", "--keep-precision", *arguments])


def test_every_candidate_is_timed_once_and_nothing_is_written(project):
    before = {path: sha256_of(path) for path in project.rglob("*") if path.is_file()}
    found = find_runtime(begin_here(load_params()), seconds=0.01)
    assert {(timing.runtime.precision, timing.runtime.channels_last) for timing in found} == {
        (precision, layout) for precision in ("float32", "bf16") for layout in (True, False)
    }
    assert len(found) == 4
    assert [timing.speed for timing in found] == sorted((timing.speed for timing in found), reverse=True)
    assert all(timing.seconds > 0 and timing.num_steps >= 1 for timing in found)
    assert {path: sha256_of(path) for path in project.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("write", [False, True])
def test_the_fastest_is_printed_and_written_when_asked_for(project, monkeypatch, write):
    """The clock says that channels last takes twice as long."""
    real = command.measure

    def by_layout(start, runtimes, seconds):
        assert real(start, runtimes[:1], seconds)[0].speed == 1
        taken = {runtime: 2.0 if runtime.channels_last else 1.0 for runtime in runtimes}
        return [Timing(runtime, time, taken[runtimes[0]] / time, 1) for runtime, time in taken.items()]

    monkeypatch.setattr(command, "measure", by_layout)
    before = (project / "params.yaml").read_text(encoding="utf-8")
    result = invoked(*["--write"] * write)
    assert result.exit_code == 0, result.output
    assert "2.00x  the last bits" in result.output
    assert "1.00x  nothing: it is the present section" in result.output
    after = (project / "params.yaml").read_text(encoding="utf-8")
    if write:
        assert "written into params.yaml:\nruntime:\n  channels_last: false\n" in result.output
        assert after == before.replace("channels_last: true", "channels_last: false")
    else:
        assert "run graft find-runtime --write:\nruntime:\n  channels_last: false\n" in result.output
        assert after == before


def test_a_small_gain_changes_nothing():
    present, other = tiny_training.runtime(), tiny_training.runtime(precision="bf16")
    as_fast = [Timing(present, 1.0, 1.0, 9), Timing(other, 1 / 1.04, 1.04, 9)]
    assert changes(present, best_of(as_fast).runtime) == {}
    faster = [as_fast[0], Timing(other, 0.5, 2.0, 9)]
    assert changes(present, best_of(faster).runtime) == {"precision": "bf16"}
    assert faster[1].change(present) == "another precision, bf16: compare the scores"


def test_candidates_fit_the_device(monkeypatch):
    monkeypatch.setattr(command, "num_usable_cores", lambda: 16)
    on_cpu, on_cuda = tiny_training.runtime(), tiny_training.runtime(device="cuda", num_threads=4)
    assert [each.num_threads for each in candidates_of("threads", on_cpu, ())] == [1, 4, 8, 16]
    assert candidates_of("threads", on_cuda, ()) == []
    assert {each.num_threads for each in candidates_of("arithmetic", on_cuda, ("float32", "fp16"))} == {4}
    assert [each.compile for each in candidates_of("compile", on_cuda, ())] == [True]


def test_no_time_is_refused(project):
    with pytest.raises(GraftError, match=r"--seconds is 0.*Rule: a time to measure in"):
        find_runtime(begin_here(load_params()), seconds=0)
