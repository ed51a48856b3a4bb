"""The documents name commands, options, targets, files and recipes that exist."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path

import pytest
from typer.main import get_command

from graft.params.recipes import compose, list_recipes
from graft.params.registries import REGISTRIES, resolve_choices
from graft.params.sections import Params
from graft.params.yaml_tree import plain

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def commands():
    from graft.cli import with_commands

    return get_command(with_commands()).commands


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_graft_command_and_option_named_exists(document):
    known = commands()
    for code in re.findall(r"`([^`\n]+)`|^(graft .*)$", document.read_text("utf-8"), re.MULTILINE):
        words = "".join(code).split()
        if words[:1] != ["graft"] or len(words) < 2 or not re.fullmatch(r"[a-z-]+", words[1]):
            continue
        assert words[1] in known, f"{document.name} names `graft {words[1]}`"
        options = {option for parameter in known[words[1]].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options | {"--help"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_target_named_exists(document):
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)`|^make ([a-z-]+)$", document.read_text("utf-8"), re.MULTILINE))
    assert {"".join(pair) for pair in named} <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_linked_file_exists(document):
    links = re.findall(r"\]\(([^)#:]+)\)", document.read_text("utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_module_named_exists(document):
    named = set(re.findall(r"`(graft\.[a-z_.]+)`", document.read_text("utf-8")))
    assert [name for name in sorted(named) if not exists(name)] == []


def exists(name: str) -> bool:
    """Whether a dotted name leads to a module, or to something in one."""
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_named_exists(document):
    named = re.findall(r"`((?:src|tests|pipeline|ci|docs|benchmarks)/[\w./-]*)`", document.read_text("utf-8"))
    examples = {"NAME.py", "NAME.yaml", "poly.py"}  # these a reader writes
    paths = [Path(name).parent if Path(name).name in examples else Path(name) for name in named]
    assert [str(path) for path in paths if not (REPOSITORY / path).exists()] == []


@pytest.mark.parametrize("picture", sorted((REPOSITORY / "docs/pictures").glob("*.png")), ids=lambda path: path.name)
def test_a_picture_is_small_enough_for_every_clone(picture):
    assert picture.stat().st_size < 150_000


@pytest.mark.parametrize("recipe", list_recipes())
def test_every_recipe_is_in_order(recipe):
    params = Params.model_validate(plain(compose(recipe)))
    resolved = resolve_choices(params, tuple({key.split(".")[0] for key in REGISTRIES}))
    assert set(resolved) == set(REGISTRIES)


def test_nothing_names_a_package_registry_or_a_path_of_one_machine():
    import subprocess

    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True).stdout
    pattern = re.compile(rb"index" rb"-url|://[^ \n]*/sim" rb"ple/?|files\.python" rb"hosted")
    named = [
        name
        for name in filter(None, listed.decode().split("\0"))
        if (REPOSITORY / name).is_file()
        and name != "tests/contract/test_documents.py"
        and pattern.search((REPOSITORY / name).read_bytes())
    ]
    assert named == []
