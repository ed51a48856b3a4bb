"""A clone of this project in a folder of its own, with a pipeline small enough for a test."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from graft.foundation.content import read_json
from graft.provenance.stages import STAGES as TABLE
from tests.dotted_keys import put

REPOSITORY = Path(__file__).resolve().parents[2]
STAGES = tuple(TABLE)

MINIATURE = {
    "runtime.num_threads": 1,
    "ingest.source": {
        "name": "scenes",
        "domain": "night_rain",
        "num_train": 16,
        "num_val": 6,
        "num_test": 6,
        "width_px": 128,
        "height_px": 96,
    },
    "augment.crop": {"height_px": 96, "width_px": 128},
    "augment.views": 2,
    "fine_tune.epochs": 2,
    "fine_tune.batch_size": 4,
    "evaluate.bootstrap_samples": 50,
    "report.num_examples": 2,
    "export.parity_images": 2,
}


class Project:
    """A working copy with git and DVC, driven through the real command line."""

    def __init__(self, root: Path, **environment: str) -> None:
        self.root = root
        self.made_in = root
        self.environment = environment

    @classmethod
    def create(cls, root: Path, **environment: str) -> Project:
        """Copies what git knows of this checkout (as it stands now) and makes it small."""
        project = cls(root, **environment)
        project.take_code()
        project.set(MINIATURE)
        project.commit("The miniature")
        return project

    def take_code(self) -> None:
        """Copies what git knows of this checkout, as it stands now, but for tests, documents and benchmarks."""
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=REPOSITORY,
            capture_output=True,
            check=True,
        )
        for name in filter(None, listed.stdout.decode().split("\0")):
            unused = name.startswith(("tests/", "docs/", "benchmarks/")) or name == "dvc.lock"
            if unused or not (REPOSITORY / name).is_file():
                continue
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, self.root / name)

    def set(self, values: dict[str, Any], file: str = "params.yaml") -> None:
        """Sets keys such as `fine_tune.epochs` in a params file."""
        yaml = YAML()
        tree = yaml.load(self.root / file)
        put(tree, values)
        yaml.dump(tree, self.root / file)

    def commit(self, message: str) -> None:
        if not (self.root / ".git").exists():
            self.run("git", "init", "-q")
        self.run("git", "add", "-A")
        self.run("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "-m", message)

    def variables(self) -> dict[str, str]:
        """The environment of a person: nothing that hides staleness, no server but the one a test names."""
        hidden = ("PYTHONDONTWRITEBYTECODE", "MLFLOW_TRACKING_URI", "PYTHONPATH", "GRAFT_TRACKING")
        inherited = {key: value for key, value in os.environ.items() if key not in hidden}
        inherited["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), inherited["PATH"]])
        return inherited | {"DVC_NO_ANALYTICS": "1"} | self.environment

    def run(self, *command: str, check: bool = True, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        """Runs a command in the project; a failure shows all it printed."""
        done = subprocess.run(
            command, cwd=self.root, env=self.variables(), capture_output=True, text=True, timeout=timeout
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def start(self, *command: str, log: Path | None = None) -> subprocess.Popen[str]:
        """Starts a command in a process group of its own; what it leaves running may go on writing to `log`."""
        options = {"cwd": self.root, "env": self.variables(), "stderr": subprocess.STDOUT, "text": True}
        # A shell lets what it runs in the background ignore Ctrl-C, and so would all that is started from there.
        options["preexec_fn"] = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        if log is None:
            return subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True, **options)
        with log.open("w", encoding="utf-8") as file:
            return subprocess.Popen(command, stdout=file, start_new_session=True, **options)

    def record(self, stage: str) -> dict[str, Any]:
        return read_json(self.root / f"reports/records/{stage}.json")

    def output_digests(self) -> dict[str, str]:
        """The digest of every declared output, by path."""
        return {path: digest for stage in STAGES for path, digest in self.record(stage)["outputs"].items()}

    def store(self) -> Any:
        """A client of the MLflow store the project's environment names, or else of its own."""
        import mlflow

        return mlflow.MlflowClient(self.environment.get("MLFLOW_TRACKING_URI", f"sqlite:///{self.root / 'mlflow.db'}"))
