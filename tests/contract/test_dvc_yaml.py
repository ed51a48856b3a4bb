"""dvc.yaml says what the code does: every file a stage runs, every section it reads, every path it is given."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import shlex
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from graft.params.sections import Ingest
from tests.contract.closure import import_closure

REPOSITORY = Path(__file__).resolve().parents[2]
DECLARED = YAML(typ="safe").load(REPOSITORY / "dvc.yaml")["stages"]
LATER = "ingest-delivery"
STAGES = {name: entry.get("do", entry) for name, entry in DECLARED.items()}


def code_deps(stage: str) -> list[str]:
    return [path for path in STAGES[stage]["deps"] if path.startswith(("src/", "pipeline/"))]


def does_something(file: str) -> bool:
    """Whether a file holds more than a docstring, which can change no result."""
    return not (file.endswith("/__init__.py") and len(ast.parse((REPOSITORY / file).read_text("utf-8")).body) == 1)


@pytest.mark.parametrize("stage", STAGES)
def test_a_folder_among_the_deps_holds_nothing_that_the_stage_does_not_run(stage):
    closure = import_closure(f"pipeline/{module_of(stage)}.py", REPOSITORY)
    folders = [REPOSITORY / path for path in code_deps(stage) if (REPOSITORY / path).is_dir()]
    files = {file.relative_to(REPOSITORY).as_posix() for folder in folders for file in folder.rglob("*.py")}
    assert not {file for file in files - closure if does_something(file)}


def module_of(stage: str) -> str:
    return command_of(stage).replace("-", "_")


def command_of(stage: str) -> str:
    return "ingest" if stage == LATER else stage


def test_the_stages_are_the_seven_in_their_order_and_ingest_again_for_later_deliveries():
    later = ["validate", "augment", "pretrain-load", "fine-tune", "evaluate", "export"]
    assert list(STAGES) == ["ingest", LATER, *later]


@pytest.mark.parametrize("stage", STAGES)
def test_code_deps_cover_the_import_closure_and_nothing_else(stage):
    closure = {file for file in import_closure(f"pipeline/{module_of(stage)}.py", REPOSITORY) if does_something(file)}
    declared = code_deps(stage)

    def covers(dep: str, file: str) -> bool:
        return file == dep or file.startswith(f"{dep}/")

    uncovered = sorted(file for file in closure if not any(covers(dep, file) for dep in declared))
    useless = sorted(dep for dep in declared if not any(covers(dep, file) for file in closure))
    assert not uncovered, f"{stage} runs files that dvc.yaml does not declare"
    assert not useless, f"{stage} declares files that it does not run"


@pytest.mark.parametrize("stage", STAGES)
def test_stages_do_not_run_what_only_commands_may(stage):
    closure = import_closure(f"pipeline/{module_of(stage)}.py", REPOSITORY)
    forbidden = tuple(f"src/graft/{name}/" for name in ("cli", "commands", "selection", "provenance", "params"))
    assert not [file for file in closure if file.startswith(forbidden)]
    assert [file for file in closure if file.startswith("pipeline/") and does_something(file)] == [
        f"pipeline/{module_of(stage)}.py"
    ]


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_the_sections_of_the_function(stage):
    whole = [name for name in STAGES[stage]["params"] if "." not in name]
    single = [name.partition(".")[2] for name in STAGES[stage]["params"] if "." in name]
    sections = {name for name, is_path in arguments(stage).items() if not is_path}
    if command_of(stage) == "ingest":  # all of its section that says something of this delivery
        both = {"split_seed", "max_pixels"}
        own = {"ingest": {"root", "source", "unlabelled", "batch"}, LATER: {"deliveries.${key}"}}
        assert set(single) == both | own[stage]
        assert {*both, *own["ingest"], "deliveries"} == set(Ingest.keys())
        whole, single = [*whole, "ingest"], []
    assert set(whole) == sections
    assert set(single) <= set(inspect.signature(stage_function(stage)).parameters)


@pytest.mark.parametrize("stage", STAGES)
def test_paths_of_the_command_are_deps_and_outs_and_arguments(stage):
    words = shlex.split(STAGES[stage]["cmd"])
    assert words[:2] == ["graft", command_of(stage)]
    options = dict(zip(words[2::2], words[3::2], strict=True))
    assert options.pop("--delivery", None) == ("${key}" if stage == LATER else None)
    data_deps = {path for path in STAGES[stage]["deps"] if path not in code_deps(stage)}
    outs = {path for path in STAGES[stage]["outs"] if not path.startswith("reports/records/")}
    assert set(options.values()) == data_deps | outs
    needed = {name for name, is_path in arguments(stage).items() if is_path}
    assert {option.removeprefix("--").replace("-", "_") for option in options} == needed


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_records(stage):
    record = f"reports/records/{'ingest-${key}' if stage == LATER else stage}.json"
    assert record in STAGES[stage]["outs"]
    assert not any(record in other["deps"] for other in STAGES.values())


def test_interpolated_paths_are_params_that_exist():
    text = (REPOSITORY / "dvc.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{([^}]+)\}", text)) == {
        *("ingest.root", "ingest.batch", "augment.unlabelled", "augment.parent", "evaluate.split"),
        *("pretrain_load.images", "export.calibration", "export.scan"),
        *("ingest.deliveries", "item.root", "key"),
    }


def stage_function(stage: str):
    name = module_of(stage)
    return getattr(importlib.import_module(f"pipeline.{name}"), name)


def arguments(stage: str) -> dict[str, bool]:
    """The arguments that a stage cannot do without, and whether each is a path (else it is a section of params)."""
    parameters = inspect.signature(stage_function(stage)).parameters
    return {name: p.annotation == "Path" for name, p in parameters.items() if p.default is inspect.Parameter.empty}
