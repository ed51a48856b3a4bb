"""`make bundled` around the training: a clone of the last commit, interrupted and run again, its results installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from graft.params.recipes import compose
from graft.params.yaml_tree import plain, read_tree

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = "pipeline/recipes/bundled.sh"
# In the place of a training: fails once, then writes what a pipeline leaves.
DVC = """#!/bin/sh
[ -e models ] || { mkdir models; exit 1; }
mkdir -p models/exported reports/records
cp params.yaml models/exported/spec.json
touch models/exported/weights.safetensors models/exported/metrics.json models/exported/model_card.md
git rev-parse HEAD > reports/records/export.json
"""


def test_it_goes_on_after_an_interruption_and_needs_no_identity_of_git(tmp_path: Path) -> None:
    root, tools = tmp_path / "project", tmp_path / "tools"
    for name in (SCRIPT, "LICENSE", ".gitignore"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, root / name)
    (root / "params.yaml").write_text("seed: 1\n")
    tools.mkdir()
    (tools / "dvc").write_text(DVC)
    (tools / "dvc").chmod(0o755)
    nobody = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "GIT_CONFIG_COUNT": "1"}
    nobody |= {"GIT_CONFIG_KEY_0": "user.useConfigOnly", "GIT_CONFIG_VALUE_0": "true"}
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "EMAIL"))}
    path = os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = inherited | nobody | {"PATH": path}

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)

    def commit(message: str) -> None:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        assert run("git", "add", "-A").returncode == run("git", *who, "commit", "-qm", message).returncode == 0

    run("git", "init", "-q", "-b", "main")
    commit("one")
    first = run(SCRIPT)
    assert (first.returncode, first.stderr) == (1, "")
    (root / "more.txt").write_text("the project moves on\n")
    commit("two")
    again = run(SCRIPT)
    assert again.returncode == 0, again.stderr
    assert (root / "build/bundled/more.txt").is_file()
    installed = root / "src/graft/models/weights/bundled_lraspp"
    assert plain(read_tree(installed / "spec.json")) == plain(compose("pretrain-scenes"))
    assert {path.name for path in installed.iterdir()} == {
        *("weights.safetensors", "spec.json", "metrics.json", "model_card.md", "record.json", "LICENSE")
    }
