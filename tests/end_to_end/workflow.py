"""Runs the steps of a workflow here: in order, in a clone, with artifacts handed from job to job."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.end_to_end.project import REPOSITORY, Project

FOLDER = REPOSITORY / ".github/workflows"
OF_THE_PLATFORM = ("actions/checkout", "actions/setup-python", "actions/attest-build-provenance")


class Runner:
    """What the platform does around the steps: a clone for each job, variables, inputs, artifacts.

    Args:
        origin: The repository that jobs clone.
        place: A folder for clones and artifacts.
        values: What expressions such as `vars.GRAFT_REMOTE` stand for; unknown ones are empty, as on the platform.
    """

    def __init__(self, origin: Path, place: Path, values: Mapping[str, str], **environment: str) -> None:
        self.origin, self.place, self.values, self.environment = origin, place, dict(values), environment
        self.ran: list[str] = []  # what each step printed
        self.summary = place / "summary.md"

    def run(self, workflow: str, job: str, skip: tuple[str, ...] = (), **environment: str) -> Project:
        """Runs one job in a fresh clone; returns the clone."""
        clone = self.clone(f"{workflow}-{job}")
        described = YAML(typ="safe").load((FOLDER / f"{workflow}.yml").read_text("utf-8"))["jobs"][job]
        clone.environment |= self._resolved(described.get("env", {})) | environment
        for step in described["steps"]:
            self._step(clone, step, skip)
        return clone

    def clone(self, name: str) -> Project:
        root = self.place / f"{name} {len(list(self.place.iterdir()))}"
        variables = {"GITHUB_STEP_SUMMARY": str(self.summary), **self.environment}
        clone = Project(root, **variables)
        root.mkdir(parents=True)
        clone.run("git", "clone", "-q", str(self.origin), ".")
        install(clone)
        return clone

    def _step(self, clone: Project, step: dict[str, Any], skip: tuple[str, ...]) -> None:
        used = step.get("uses", "").partition("@")[0]
        if used == "actions/upload-artifact":
            self._upload(clone, step["with"]["name"], step["with"]["path"].split())
        elif used == "actions/download-artifact":
            shutil.copytree(self.place / "artifacts" / step["with"]["name"], clone.root, dirs_exist_ok=True)
        elif used:
            assert used in OF_THE_PLATFORM
        elif step["run"] not in skip:
            own = Project(clone.root, **clone.environment, **self._resolved(step.get("env", {})))
            done = own.run("bash", "-e", "-c", step["run"])
            self.ran.append(done.stdout)

    def _upload(self, clone: Project, name: str, paths: list[str]) -> None:
        folder = self.place / "artifacts" / name
        for path in paths:
            source, target = clone.root / path, folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            else:
                shutil.copy2(source, target)

    def _resolved(self, environment: Mapping[str, str]) -> dict[str, str]:
        def value(match: re.Match[str]) -> str:
            return next((self.values[name] for name in names(match[1]) if self.values.get(name)), "")

        return {key: re.sub(r"\$\{\{ (.*?) \}\}", value, text) for key, text in environment.items()}


def names(expression: str) -> Iterator[str]:
    """`inputs.model || vars.MODEL`: the first that is not empty counts."""
    return (part.strip() for part in expression.split("||"))


def install(clone: Project) -> None:
    """The environment of these tests in the place where `make setup` would make one: it finds nothing left to do."""
    binaries = clone.root / ".venv/bin"
    binaries.mkdir(parents=True)
    for tool in Path(sys.executable).parent.iterdir():
        if not tool.name.startswith("activate"):
            (binaries / tool.name).write_text(f'#!/bin/sh\nexec "{tool}" "$@"\n', encoding="utf-8")
            (binaries / tool.name).chmod(0o755)
    (clone.root / ".venv/installed").touch()
