"""The share of `dvc repro` not spent on images and batches, for the default job in a fresh copy of this checkout.

Work on images and batches is the time in the outermost progress loops of every stage (`loop_seconds` in
reports/measured). Starting processes, imports, hashing, validation, the report and tracking are the rest.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figures import Figure, Options, Skipped
from graft.foundation.content import read_json
from graft.models.weights.bundled import FOLDER

ROOT = Path(__file__).resolve().parents[1]
MOST_OUTSIDE = 0.4
SOURCE = "pretrain_load:\n  source: {name: bundled}"


def run(options: Options) -> list[Figure]:
    """Runs `dvc repro` once, from nothing."""
    with TemporaryDirectory(prefix="graft-bench-") as name:
        workspace = Path(name) / "job"
        copy_checkout(workspace)
        prepare(workspace, options)
        start = time.perf_counter()
        done = subprocess.run([script("dvc"), "repro"], cwd=workspace, env=environment(workspace), stdout=sys.stderr)
        whole = time.perf_counter() - start
        if done.returncode:
            raise SystemExit(f"benchmarks: dvc repro failed with status {done.returncode}")
        measured = {path.stem: read_json(path) for path in sorted((workspace / "reports/measured").glob("*.json"))}
    stages = {stage: facts for stage, facts in measured.items() if "loop_seconds" in facts}
    inside = sum(facts["loop_seconds"] for facts in stages.values())
    bound = None if options.quick else MOST_OUTSIDE
    return [
        Figure("time outside the loops / whole dvc repro", 1 - inside / whole, "%", at_most=bound),
        Figure("dvc repro of the default job", whole, "s"),
        *(
            Figure(f"{stage}: outside its loops", facts["seconds"] - facts["loop_seconds"], "s")
            for stage, facts in stages.items()
        ),
        Figure("starting, importing, DVC and publishing", whole - sum(f["seconds"] for f in stages.values()), "s"),
    ]


def copy_checkout(workspace: Path) -> None:
    """Copies the files that git tracks or would track into a new repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and name != "dvc.lock":
            (workspace / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, workspace / name)
    subprocess.run(["git", "init", "-q"], cwd=workspace, check=True)


def prepare(workspace: Path, options: Options) -> None:
    """Adapts params.yaml: no bundled weights, no transfer, which takes as long; `--quick` trains for two epochs."""
    file = workspace / "params.yaml"
    text = file.read_text(encoding="utf-8")
    if not FOLDER.is_dir():
        if SOURCE not in text:
            raise Skipped("the bundled weights are not installed")
        text = text.replace(SOURCE, "pretrain_load:\n  source: {name: none}")
    if options.quick:
        text = re.sub(r"\n  epochs: \d+", "\n  epochs: 2", text)
        text = re.sub(r"num_threads: \d+", f"num_threads: {options.threads}", text)
    file.write_text(text, encoding="utf-8")


def environment(workspace: Path) -> dict[str, str]:
    """An environment with the commands of this Python, the code of the copy, and the copy's own tracking server."""
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    code = os.pathsep.join([str(workspace / "src"), str(workspace)])
    left_out = ("MLFLOW_", "GRAFT_", "PYTHONDONTWRITEBYTECODE")  # the last, as make: each process would compile torch
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return {**inherited, "PATH": path, "PYTHONPATH": code, "DVC_NO_ANALYTICS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}


def script(name: str) -> str:
    """The path of a command of this Python."""
    return str(Path(sysconfig.get_path("scripts")) / name)
