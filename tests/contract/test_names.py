"""Names are unique, files are short, and docstrings begin with what a thing is or does."""

from __future__ import annotations

import ast
import importlib
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.figures import layer_names
from docs.toolbox import REGISTRIES

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = REPOSITORY / "src/graft"
FILES = sorted([*SOURCE.rglob("*.py"), *(REPOSITORY / "pipeline").rglob("*.py")])
MOST_NAMES, MOST_LINES = 16, 300


def name_of(file: Path) -> str:
    return file.relative_to(REPOSITORY).as_posix()


def registry_entries() -> set[Path]:
    """The files of entries: their names are keys of `params.yaml`, shared where two registries offer the same word."""
    folders = {SOURCE.parent.joinpath(*module.split(".")) for module, _ in REGISTRIES.values()}
    keys = {
        key
        for module, name in REGISTRIES.values()
        for key, entry in getattr(importlib.import_module(module), name).items()
        for key in (entry if isinstance(entry, dict) else (key,))
    }
    return {file for folder in folders for file in folder.glob("*.py") if file.stem in keys}


def docstrings(file: Path) -> Iterator[tuple[int, str]]:
    """Line and text of every docstring."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text


def described_names(text: str) -> Iterator[str]:
    """What a Google docstring says of each argument or attribute."""
    for section in re.findall(r"^(?:Args|Attributes):\n((?:^ .*\n?|^\n)*)", text, re.MULTILINE):
        yield from re.findall(r"^ {4}\*{0,2}\w+: (.*)", section, re.MULTILINE)


def test_a_listing_of_the_package_can_be_taken_in_at_a_glance():
    names = [path.name for path in SOURCE.iterdir() if path.name != "__pycache__"]
    assert len(names) <= MOST_NAMES


def test_no_class_name_is_defined_twice():
    places: dict[str, list[str]] = defaultdict(list)
    for file in FILES:
        for node in ast.parse(file.read_text("utf-8")).body:  # transforms nest an InitSchema each: albumentations asks
            if isinstance(node, ast.ClassDef):
                places[node.name].append(name_of(file))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def test_no_two_files_of_a_layer_have_the_same_name():
    level_of = {name.removeprefix("graft."): level for level, names in enumerate(layer_names()) for name in names}
    skipped = registry_entries()
    places: dict[tuple[int, str], list[str]] = defaultdict(list)
    for file in FILES:
        if file.stem != "__init__" and file not in skipped:
            package = file.relative_to(SOURCE if file.is_relative_to(SOURCE) else REPOSITORY).parts[0]
            places[level_of[package], file.stem].append(name_of(file))
    assert [files for files in places.values() if len(files) > 1] == []


def test_the_entries_of_registries_are_found():
    names = {name_of(file) for file in registry_entries()}
    assert {"src/graft/training/losses/dice.py", "src/graft/data/formats/scenes.py"} <= names
    assert not {name for name in names if "/cli/" in name}


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_a_file_fits_a_reading(file):
    assert len(file.read_text("utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_docstrings_begin_with_a_verb_or_a_noun(file):
    opened = [(line, text) for line, text in docstrings(file) if text.startswith("What ")]
    described = [(line, told) for line, text in docstrings(file) for told in described_names(text)]
    assert opened == []
    assert [(line, told) for line, told in described if told.startswith(("Of ", "What "))] == []


def test_the_lines_of_arguments_and_attributes_are_found():
    text = "Does.\n\nArgs:\n    one: Of it.\n    **two: A\n        longer line: no.\n\nReturns:\n    x: y"
    assert list(described_names(text)) == ["Of it.", "A"]
