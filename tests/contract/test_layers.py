"""Imports go downward only, and each vendor has one door."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DOORS = {
    # The last is data that MLflow runs.
    "mlflow": {"src/graft/provenance/tracking", "src/graft/deployment/serving/model.py"},
    "great_expectations": {"src/graft/data/expectations/verdict.py"},
    "albumentations": {"src/graft/data/augmentations"},
    "typer": {"src/graft/cli"},
}


def test_layers_hold(monkeypatch):
    from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

    monkeypatch.chdir(REPOSITORY)
    assert lint_imports(config_filename="pyproject.toml", no_cache=True) == EXIT_STATUS_SUCCESS


def modules_of_the_layers() -> set[str]:
    layers = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    return {name.strip() for layer in layers[0]["layers"] for name in layer.split("|")}


def test_every_module_is_in_a_layer():
    children = [path for path in (REPOSITORY / "src/graft").iterdir() if not path.name.startswith("__")]
    modules = {path.stem for path in children if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert {f"graft.{name}" for name in modules} | {"pipeline"} == modules_of_the_layers()


def test_the_design_names_every_module_of_the_layers():
    modules = modules_of_the_layers()
    page = (REPOSITORY / "docs/design.md").read_text("utf-8").split("## 2.")[1].split("```")[1]
    named = set(re.findall(r"[a-z_]+", page))
    assert {name.removeprefix("graft.") for name in modules} <= named


@pytest.mark.parametrize("vendor", DOORS)
def test_a_vendor_has_one_door(vendor):
    pattern = re.compile(rf"^\s*(?:import|from) {vendor}\b", re.MULTILINE)
    files = [*(REPOSITORY / "src").rglob("*.py"), *(REPOSITORY / "pipeline").rglob("*.py")]
    found = {file.relative_to(REPOSITORY).as_posix() for file in files if pattern.search(file.read_text("utf-8"))}
    assert {path if path in DOORS[vendor] else path.rpartition("/")[0] for path in found} == DOORS[vendor]
