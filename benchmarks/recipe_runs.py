"""Trainings of recipes by the command line of any commit, each in a worktree of that commit; finished ones are kept."""

from __future__ import annotations

import csv
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.overhead import environment, script
from graft.foundation.content import content_digest, read_json, write_json
from graft.foundation.git import git_failure, git_text
from graft.foundation.progress import say
from graft.params.yaml_tree import plain, read_tree, write_tree

Curve = list[tuple[float, float]]  # seconds so far, and score on val, after each epoch that was scored
PARAMS, MEASURED, CURVES = Path("params.yaml"), Path("reports/measured"), Path("reports/fine_tuning/curves.csv")
BEFORE_TRAINING = ("ingest", "validate", "augment", "pretrain-load")
MARK = Path("build/run")


@dataclass(frozen=True)
class RecipeRun:
    """A recipe with changes, run up to a stage.

    Attributes:
        recipe: Name of the recipe.
        changes: Values that take the place of the recipe's, by key: `fine_tune.epochs`.
        until: Last stage to run; None runs them all, and publishes.
    """

    recipe: str
    changes: Mapping[str, Any]
    until: str | None = "fine-tune"


@dataclass(frozen=True)
class RecipeResult:
    """The result of a run.

    Attributes:
        commit: Commit whose code ran.
        recipe: Name of the recipe.
        changes: Changes to it.
        params: Params that follow.
        wall_seconds: Time of `dvc repro`; of the last start, where the run was interrupted.
        curves: Curve of each training; its seconds begin with ingest.
        headline: Scores on the evaluated split, by name; empty if evaluate did not run.
    """

    commit: str
    recipe: str
    changes: Mapping[str, Any]
    params: Mapping[str, Any]
    wall_seconds: float
    curves: Mapping[str, Curve]
    headline: Mapping[str, float]


@dataclass(frozen=True)
class Checkout:
    """A git worktree; the commands that run in it are those of its own code.

    Attributes:
        commit: Commit that is checked out.
        folder: Folder of the worktree; its results are kept beside it.
    """

    commit: str
    folder: Path

    @property
    def kept(self) -> Path:
        """The folder of the results."""
        return self.folder.parent

    def train(self, run: RecipeRun) -> RecipeResult:
        """Runs a recipe, or reads the result of the run that is kept; one that was interrupted continues.

        A kept result stands as long as DVC would not run its stages again: params and the code they name are the same.
        """
        file = self.place_of(run)
        if not file.is_file():
            write_json(file, asdict(self._run(run, file.stem)))
        return read_result(file)

    def place_of(self, run: RecipeRun) -> Path:
        """The file that holds the result of a run."""
        facts = {"params": self.params_of(run), "code": list_code(self.folder, run.until), "until": run.until}
        return self.kept / f"{run.recipe}-{content_digest(facts)[:16]}.json"

    def params_of(self, run: RecipeRun) -> dict[str, Any]:
        """The params of a run."""
        return plain(self._compose(run))

    def call(self, *command: str, tracking: bool = False) -> None:
        """Runs a command in the worktree.

        Raises:
            SystemExit: The command fails.
        """
        off = {} if tracking else {"GRAFT_TRACKING": "off"}
        surroundings = environment(self.folder) | off
        done = subprocess.run([script(command[0]), *command[1:]], cwd=self.folder, env=surroundings, stdout=sys.stderr)
        if done.returncode:
            raise SystemExit(f"benchmarks: {' '.join(command)} failed in {self.folder} with status {done.returncode}")

    def _run(self, run: RecipeRun, key: str) -> RecipeResult:
        say(f"{run.recipe} of {self.commit[:7]} with {dict(run.changes)}")
        mark = self.folder / MARK
        if run.until is None or not mark.is_file() or mark.read_text(encoding="utf-8") != key:
            git("-C", str(self.folder), "clean", "-ffdxq", "-e", "__pycache__")
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.write_text(key, encoding="utf-8")
        write_tree(self.folder / PARAMS, self._compose(run))
        start = time.perf_counter()
        self.call("dvc", "repro", *filter(None, [run.until]), tracking=run.until is None)
        wall = time.perf_counter() - start
        headline = self.folder / "reports/evaluation/headline.json"
        scores = read_json(headline) if headline.is_file() else {}
        params = self.params_of(run)
        return RecipeResult(self.commit, run.recipe, run.changes, params, wall, read_curves(self.folder), scores)

    def _compose(self, run: RecipeRun) -> Any:
        tree = read_tree(show_recipe(self.folder, run.recipe))
        for key, value in run.changes.items():
            *sections, field = key.split(".")
            place = tree
            for section in sections:
                if section not in place:
                    raise SystemExit(f"benchmarks: {key} is no key of params.yaml: there is no section {section!r}")
                place = place[section]
            place[field] = value
        return tree


def check_out(revision: str, folder: Path) -> Checkout:
    """Makes a worktree of a revision, or moves the one that is there; results are kept in the folder that holds it.

    Raises:
        SystemExit: git has no such revision, or Python would run other code than that of the worktree.
    """
    commit = git_text("rev-parse", "--verify", f"{revision}^{{commit}}")
    if commit is None:
        raise SystemExit(f"benchmarks: git has no commit {revision!r} here; fetch it, or name another one")
    folder = folder.resolve()
    if folder.is_dir():
        git("-C", str(folder), "checkout", "--quiet", "--force", "--detach", commit)
    else:
        git("worktree", "prune")
        git("worktree", "add", "--detach", str(folder), commit)
    refuse_other_code(folder)
    return Checkout(commit, folder)


def refuse_other_code(folder: Path) -> None:
    """Refuses a worktree whose commands would run the code of another folder.

    Raises:
        SystemExit: They would.
    """
    asked = [
        script("python"),
        "-P",
        "-c",
        "import graft, pipeline; print(graft.__file__, pipeline.__file__, sep='\\n')",
    ]
    done = subprocess.run(asked, cwd=folder, env=environment(folder), stdout=subprocess.PIPE, text=True)
    strange = [path for path in done.stdout.splitlines() if not Path(path).is_relative_to(folder)]
    if done.returncode or strange:
        raise SystemExit(f"benchmarks: the code of {folder} would not be the one that runs there, but {strange}")


def git(*arguments: str) -> None:
    """Runs a git command.

    Raises:
        SystemExit: It fails.
    """
    if failure := git_failure(*arguments):
        raise SystemExit(f"benchmarks: git {' '.join(arguments)}: {failure}")


@lru_cache
def show_recipe(folder: Path, recipe: str) -> Path:
    """Writes the complete params of a recipe, as the code of a worktree composes them; returns the file."""
    file = folder.with_name(f"{folder.name}-{recipe}.yaml")
    command = [script("graft"), "recipe", "show", "--whole", recipe]
    done = subprocess.run(command, cwd=folder, env=environment(folder), stdout=subprocess.PIPE)
    if done.returncode:
        raise SystemExit(f"benchmarks: there is no recipe {recipe!r} in {folder}")
    file.write_bytes(done.stdout)
    return file


@lru_cache
def list_code(folder: Path, until: str | None) -> str:
    """Lists the code that the stages up to one depend on, as the dvc.yaml of a worktree says, with git's digests."""
    declared = read_tree(folder / "dvc.yaml")["stages"]
    stages = {name: stage.get("do", stage) for name, stage in declared.items()}
    names = list(stages)
    wanted = names[: names.index(until) + 1] if until else names
    paths = {dep for name in wanted for dep in stages[name]["deps"] if dep.startswith(("src/", "pipeline/"))}
    return git_text("-C", str(folder), "ls-tree", "HEAD", *sorted(paths)) or ""


def read_curves(folder: Path) -> dict[str, Curve]:
    """Reads the curve of each training from what the stages wrote in a project."""
    earlier = sum(read_json(folder / MEASURED / f"{stage}.json")["seconds"] for stage in BEFORE_TRAINING)
    costs = read_json(folder / MEASURED / "fine-tune.json")
    with (folder / CURVES).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    curves: dict[str, Curve] = {}
    for run in dict.fromkeys(row["run"] for row in rows):
        seconds, curve = earlier, []
        scores = [row["val_score"] for row in rows if row["run"] == run]
        for score, cost in zip(scores, costs[f"{run}.epochs"], strict=True):
            seconds += cost["seconds"]
            if score:  # val may be scored every few epochs only
                curve.append((seconds, float(score)))
        curves[run] = curve
    return curves


def read_result(file: Path) -> RecipeResult:
    """Reads a kept result."""
    facts = read_json(file)
    curves = {run: [(seconds, score) for seconds, score in curve] for run, curve in facts["curves"].items()}
    return RecipeResult(**{**facts, "curves": curves})


def best_of(curve: Curve, seconds: float = float("inf")) -> float:
    """The best score within a time: the model that is kept; 0 if there is none yet."""
    return max((score for at, score in curve if at <= seconds), default=0.0)


def whole_seconds(curve: Curve) -> float:
    """The time after which the best model is known."""
    return curve[-1][0]


def seconds_until(curve: Curve, mark: float) -> float | None:
    """The time after which a score is reached; None if it is not."""
    return next((at for at, score in curve if score >= mark), None)
