"""The table of the stages says what dvc.yaml says, and no other module names a path that a stage writes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from graft.provenance import stages
from graft.provenance.stages import (
    INGESTED,
    LATER,
    NO_MODEL,
    STAGES,
    delivery_of,
    instance_of,
    is_within,
    maker_of,
    record_path,
)

REPOSITORY = Path(__file__).resolve().parents[2]
PIPELINE = YAML(typ="safe").load(REPOSITORY / "dvc.yaml")
OUTPUTS = [path for stage in STAGES.values() for path in stage.outputs]
CONSTANTS = {name: value for name, value in vars(stages).items() if name.isupper() and isinstance(value, str)}
NAMED = {name: value for name, value in CONSTANTS.items() if name not in ("INGEST", "LATER")}


def test_the_stages_are_those_of_dvc_yaml_in_their_order():
    assert [*STAGES, LATER] == sorted(PIPELINE["stages"], key=lambda name: name == LATER)


def test_an_instance_of_ingest_is_declared_as_ingest_is():
    one, first = PIPELINE["stages"][LATER]["do"], PIPELINE["stages"]["ingest"]
    assert one["deps"][1:] == first["deps"][1:]
    assert one["deps"][0] == "${item.root}"
    assert one["outs"] == [f"{INGESTED}/${{key}}", "reports/records/ingest-${key}.json"]
    assert record_path(instance_of("2026-11")) == Path("reports/records/ingest-2026-11.json")
    assert delivery_of(instance_of("2026-11")) == "2026-11"
    assert delivery_of("ingest") is None


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_writes_what_dvc_yaml_declares(stage):
    written = [*STAGES[stage].outputs, STAGES[stage].record.as_posix()]
    assert written == [path.removesuffix("/${ingest.batch}") for path in PIPELINE["stages"][stage]["outs"]]


@pytest.mark.parametrize("stage", STAGES)
def test_artifacts_are_files_that_the_stage_writes(stage):
    assert {maker_of(path) for path in STAGES[stage].artifacts} == {stage}


def test_every_named_path_is_an_output_or_lies_in_one():
    assert {name for name, path in NAMED.items() if maker_of(path) is None} == {"NO_MODEL"}
    assert (REPOSITORY / NAMED["NO_MODEL"] / "README.md").is_file(), "git has it, and no stage"


def test_data_that_dvc_yaml_reads_from_an_earlier_stage_has_a_maker():
    read = {path for stage in PIPELINE["stages"].values() for path in stage.get("do", stage)["deps"]}
    data = {path for path in read if not path.startswith(("src/", "pipeline/", "${"))}
    assert {path for path in data if maker_of(path) is None} == {NO_MODEL.replace("none", "${augment.parent}")}
    shown = [*PIPELINE["metrics"], *(path for plot in PIPELINE["plots"] for path in plot)]
    assert {path for path in shown if maker_of(path) is None} == set()


def test_a_path_beside_an_output_is_not_in_it():
    assert maker_of("data/interim/train") == "validate"
    assert maker_of("data/deliveries/2026-11/train") == "ingest"
    assert maker_of("data/interim_old/train") is None
    assert not is_within("models/exported.zip", "models/exported")


def test_no_other_module_names_a_path_that_a_stage_writes():
    files = [file for file in (REPOSITORY / "src/graft").rglob("*.py") if file != Path(stages.__file__)]
    found = {
        f"{file.relative_to(REPOSITORY)}: {text}"
        for file in files
        for text in strings(ast.parse(file.read_text(encoding="utf-8")))
        if is_within(text, *OUTPUTS, stages.RECORDS.as_posix(), stages.MEASURED.as_posix())
    }
    assert found == set()


def strings(tree: ast.AST) -> Iterator[str]:
    """Every text of a module but the docstrings."""
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    yield from (node.value for node in nodes if id(node) not in statements)
