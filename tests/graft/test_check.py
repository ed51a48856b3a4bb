"""graft check: the folders and the device it finds around it, and what it remembers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from graft.cli import with_commands
from graft.foundation.errors import GraftError
from graft.params import memory
from graft.params.examination import check_file
from graft.params.recipes import ROOT, complete_text, compose
from graft.params.surroundings import find_package_problem, find_root_problems
from graft.params.yaml_tree import write_tree
from tests.dotted_keys import put


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a dvc.yaml that names what its stages write."""
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text("stages: {ingest: {cmd: x, outs: [data/interim]}, train: {cmd: x, outs: [models]}}\n")
    Path("data/raw").mkdir(parents=True)
    return tmp_path


def said(root: str) -> str:
    return "\n".join(map(str, find_root_problems(root)))


def test_a_root_is_a_folder_of_images_and_nothing_else(project: Path) -> None:
    Path("list.txt").touch()
    Path("data/interim/old").mkdir(parents=True)
    assert said("data/raw") == ""
    assert said(str(project.parent)).startswith(
        f"ingest.root is {str(project.parent)!r}, which holds the project's own"
    )
    assert "which holds the project's own data/interim, models" in said(".")
    assert "which holds the project's own data/interim. Rule: a stage never reads" in said("data")
    assert "which lies in data/interim, where a stage writes" in said("data/interim/old")
    assert "ingest.root is 'photos', and there is nothing" in said("photos")
    assert f"starts at {project}" in said("photos")
    assert "ingest.root is 'list.txt', and there is a file" in said("list.txt")
    assert f"write the whole path: {Path('~/photos').expanduser()}" in said("~/photos")
    assert "nothing but a shell knows what ~ means" in said("~someone/photos")


def test_a_link_to_the_project_itself_is_seen_through(project: Path) -> None:
    Path("link").symlink_to(project / "data")
    assert "which holds the project's own data/interim" in said("link")


def test_a_package_of_weights_is_installed_as_its_lock_says(project: Path) -> None:
    Path("requirements").mkdir()
    Path("requirements/team.lock").write_text("team-weights==1.2\n", encoding="utf-8")
    path = written({"pretrain_load.source": {"name": "package", "package": "team-weights"}})
    with pytest.raises(GraftError) as refused:
        check_file(path)
    place = r"params.yaml:\d+: the package team-weights is not installed\..*Remedy: make setup EXTRAS=team\."
    assert len(re.findall(place, str(refused.value))) == str(refused.value).count("team-weights") == 1
    for source in ("none", {"name": "package"}, {"name": "package", "package": 3}, ["package"]):
        assert find_package_problem(source) is None


def written(changes: dict[str, object]) -> Path:
    tree = compose(ROOT)
    put(tree, changes)
    write_tree(Path("params.yaml"), tree)
    return Path("params.yaml")


@pytest.mark.parametrize("arguments", [[], ["--here"]])
def test_a_device_that_is_elsewhere_is_a_warning_and_with_here_an_error(project: Path, arguments: list[str]) -> None:
    import torch

    device = "mps" if torch.cuda.is_available() else "cuda"
    path = written({"runtime.device": device})
    if arguments:
        with pytest.raises(
            GraftError, match=rf"params.yaml:\d+: runtime.device is {device}, which this machine does not"
        ):
            check_file(path, here=True)
    else:
        done = CliRunner().invoke(with_commands(), ["check"])
        assert done.exit_code == 0, done.output
        assert f"graft: warning: runtime.device is {device}, which this machine does not have" in done.stderr


@pytest.mark.parametrize("here", [True, False])
def test_a_precision_without_units_is_a_warning(project: Path, monkeypatch: pytest.MonkeyPatch, here: bool) -> None:
    import torch

    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "x86_64", "avx2": True})
    (remark,) = check_file(written({"runtime.precision": "bf16"}), here=here)
    assert "runtime.precision is bf16, for which this processor (x86_64) has no units" in str(remark)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "x86_64", "amx_bf16": True})
    assert check_file(written({"runtime.precision": "bf16"}), here=here) == []


def test_make_repro_checks_first(repository: Path) -> None:
    recipe = (repository / "Makefile").read_text().split("\nrepro:", 1)[1].split("\n\n", 1)[0]
    assert recipe.index("graft check --here") < recipe.index("dvc repro")


def test_what_the_libraries_said_is_remembered_by_values_code_and_lock(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("requirements.lock").write_text("torch==1\n")
    asked: list[int] = []
    error = GraftError("wrong", rule="rule", remedy="remedy")

    def examine() -> list[memory.Finding]:
        asked.append(1)
        return [(("fine_tune", "losses", 0), error)]

    store = Path("build/checked.json")
    for facts, lock, times in (
        ({"a": 1}, 1, 1),
        ({"a": 1}, 1, 1),
        ({"a": 2}, 1, 2),
        ({"a": 2}, 2, 3),
        ({"a": 2}, 2, 3),
    ):
        Path("requirements.lock").write_text(f"torch=={lock}\n")
        ((place, found),) = memory.recall(store, facts, examine)
        assert (place, str(found), len(asked)) == (("fine_tune", "losses", 0), str(error), times)
    monkeypatch.setattr(memory, "CODE", Path("data"))
    memory.recall(store, {"a": 2}, examine)
    store.write_text("{")
    memory.recall(store, {"a": 2}, examine)
    assert len(asked) == 5


def test_neither_a_second_check_nor_one_of_a_bundled_recipe_imports_torch(project: Path, repository: Path) -> None:
    import subprocess
    import sys

    Path("requirements.lock").write_text("torch==1\n")
    path = written({"fine_tune.schedule": {"name": "step", "every_epochs": 99}})
    with pytest.raises(GraftError) as first:
        check_file(path, memory=Path("build/checked.json"))
    Path("recipe.yaml").write_text(complete_text(ROOT), encoding="utf-8")
    code = """
import sys
from pathlib import Path
from graft.params.examination import check_file
try:
    check_file(Path("params.yaml"), memory=Path("build/checked.json"))
except Exception as error:
    print(error)
check_file(Path("recipe.yaml"), memory=Path("build/other.json"))
sys.exit("torch" in sys.modules or "numpy" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, str(first.value)), done.stderr
