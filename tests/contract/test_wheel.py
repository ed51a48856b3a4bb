"""An installed wheel holds everything that Graft reads beside its code, and finds it there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from graft.params.recipes import ROOT, complete_text, list_recipes

REPOSITORY = Path(__file__).resolve().parents[2]
READ = """
import json
from graft.models.weights.bundled import FOLDER
from graft.params.recipes import RELEASED, ROOT, complete_text, list_recipes
from graft.selection.candidates import DOCUMENTED
files = {"recipes": list(list_recipes().values()), "others": [RELEASED, DOCUMENTED, FOLDER / "weights.safetensors"]}
print(json.dumps({"root": complete_text(ROOT), **{key: list(map(str, paths)) for key, paths in files.items()}}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The content of the wheel, unpacked as pip unpacks it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "uv", "build", "--wheel", "--offline", "--out-dir", str(folder), str(REPOSITORY)]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode != 0:
        pytest.skip(f"uv cannot build a wheel here without a network: {built.stderr.strip()[-200:]}")
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site-packages")
    return folder / "site-packages"


def test_recipes_candidates_and_bundled_weights_are_found_in_the_wheel(installed: Path, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", READ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["root"] == complete_text(ROOT)
    assert {Path(path).stem for path in found["recipes"]} == set(list_recipes())
    for path in [*found["recipes"], *found["others"]]:
        assert Path(path).is_relative_to(installed)
        assert Path(path).is_file()


def test_every_file_beside_the_code_is_in_the_wheel(installed: Path) -> None:
    """Templates, weights, recipes: whatever git tracks in the two packages."""
    listed = subprocess.run(
        ["git", "ls-files", "src/graft", "pipeline"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    expected = {line.removeprefix("src/") for line in listed.stdout.splitlines() if (REPOSITORY / line).is_file()}
    assert len(expected) > 100
    assert {name for name in expected if not (installed / name).is_file()} == set()
