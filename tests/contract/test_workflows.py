"""The workflow files: schema, pinned actions, least privilege; and their steps are scripts that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / ".github/workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))
PINNED = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+, read \d{4}-\d{2}-\d{2}$")
named = pytest.mark.parametrize("file", WORKFLOWS, ids=lambda path: path.stem)


def read(name: str) -> dict[str, Any]:
    """A workflow; `on` is a word in YAML 1.2."""
    return YAML(typ="safe").load((FOLDER / f"{name}.yml").read_text("utf-8"))


def run_lines(workflow: dict[str, Any]) -> list[str]:
    return [step["run"] for job in workflow["jobs"].values() for step in job.get("steps", []) if "run" in step]


def test_the_five_are_there():
    assert {path.stem for path in WORKFLOWS} == {"check", "gpu-train", "publish", "promote", "rebuild"}


def test_the_schema_holds():
    tool = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [tool, "--builtin-schema", "vendor.github-workflows", *WORKFLOWS], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_zizmor_finds_nothing():
    tool = Path(sys.executable).with_name("zizmor")
    done = subprocess.run([tool, "--offline", "--quiet", FOLDER], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@named
def test_every_action_is_pinned_by_commit_with_its_version_and_the_date_it_was_read(file):
    lines = [line.strip().removeprefix("- ") for line in file.read_text("utf-8").splitlines() if "uses:" in line]
    assert [line for line in lines if "uses: $/" not in line and not PINNED.fullmatch(line)] == []


@named
def test_nothing_is_granted_that_a_job_does_not_name(file):
    workflow = read(file.stem)
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert set(job["permissions"].values()) <= {"read", "write"}
        for step in job.get("steps", []):
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_check_can_only_read():
    assert [job["permissions"] for job in read("check")["jobs"].values()] == [{"contents": "read"}]


@pytest.mark.parametrize("name", ["gpu-train", "promote", "rebuild"])
def test_no_pull_request_starts_what_has_a_machine_or_a_say(name):
    workflow = read(name)
    assert set(workflow["on"]) <= {"workflow_dispatch", "push", "schedule"}
    assert workflow["concurrency"]["cancel-in-progress"] is False
    first = next(iter(workflow["jobs"].values()))
    assert "github.ref_protected" in first["if"]
    assert first["environment"]


def test_training_runs_on_the_teams_machines_and_nobody_holds_a_key():
    train = read("gpu-train")["jobs"]["train"]
    assert train["runs-on"] == ["self-hosted", "linux", "x64", "gpu"]
    assert train["permissions"] == {"contents": "read", "id-token": "write"}
    assert all("secrets." not in file.read_text("utf-8") for file in WORKFLOWS)


@named
def test_every_step_is_a_script_or_a_target_that_exists(file):
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE))
    for line in run_lines(read(file.stem)):
        assert "${{" not in line, "what a person typed must not become shell"
        first, *rest = line.split()
        if first == "make":
            assert set(rest) <= targets
        else:
            script = REPOSITORY / (rest[0] if first == ".venv/bin/python" else first)
            assert script.is_file()
            assert script.suffix == ".py" or script.stat().st_mode & 0o111


@pytest.mark.parametrize("script", sorted((REPOSITORY / "ci").glob("*.sh")), ids=lambda path: path.name)
def test_every_script_parses(script):
    assert subprocess.run(["bash", "-n", script]).returncode == 0


def test_compose_holds_no_password_and_the_versions_of_the_lock_file():
    compose = (REPOSITORY / "compose.yaml").read_text("utf-8")
    locked = (REPOSITORY / "requirements.lock").read_text("utf-8")
    lock = dict(re.findall(r"^([a-z0-9-]+)==([^ ]+)", locked, re.MULTILINE))
    assert re.findall(r"mlflow/mlflow:v(\S+)", compose) == [lock["mlflow"]]
    for package in ("psycopg2-binary", "flask-wtf"):
        assert re.findall(rf"{package}==(\S+)", compose) == [lock[package]]
    given = re.findall(r"^ +\w*(?:PASSWORD|SECRET)\w*: (.*)$", compose, re.MULTILINE)
    assert len(given) == 3
    assert all(value.startswith("${GRAFT_") and ":?" in value for value in given)
    tool = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [tool, "--builtin-schema", "vendor.compose-spec", REPOSITORY / "compose.yaml"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
