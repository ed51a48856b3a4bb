"""docs/workspace.md lists every environment variable that is read, and every pattern that git ignores."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

PYTHON = ("src", "pipeline", "ci")
NAME = re.compile(r"[A-Z][A-Z0-9_]+")
# Set by the shell or the system; GitHub sets those that begin with its prefixes.
OF_THE_SYSTEM = {"PATH", "PWD", "PYTHONPATH", "BASH_SOURCE", "PIPESTATUS"}
OF_GITHUB = ("GITHUB_", "ACTIONS_")


def variables_read(repository: Path) -> set[str]:
    """Names of all environment variables that Python files, shell scripts, workflows, make and compose.yaml read."""
    names = {name for name, _ in variables_of_all_python(repository)}
    for file in [*(repository / "ci").glob("*.sh"), repository / ".ci/run"]:
        names |= variables_of_shell(file.read_text("utf-8"))
    for file in (repository / ".github/workflows").glob("*.yml"):
        names |= set(re.findall(r"\bvars\.(\w+)", file.read_text("utf-8")))
    names |= set(re.findall(r"(?<!\$)\$\{(\w+)", (repository / "compose.yaml").read_text("utf-8")))
    names |= set(re.findall(r"^(\w+) \?=", (repository / "Makefile").read_text("utf-8"), re.MULTILINE))
    return {name for name in names if not name.startswith(OF_GITHUB)} - OF_THE_SYSTEM


def variables_of_all_python(repository: Path) -> Iterator[tuple[str, str | None]]:
    """Names and defaults of the variables that the Python files of the project read."""
    for folder in PYTHON:
        for file in sorted((repository / folder).rglob("*.py")):
            yield from variables_of_python(file.read_text("utf-8"))


def variables_of_python(source: str) -> Iterator[tuple[str, str | None]]:
    """Names a module asks the environment for, as literals or constants of the module; each with a literal default."""
    tree = ast.parse(source)
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for name_asked, default_asked in questions(tree):
        name, default = (
            node.value if isinstance(node, ast.Constant) else constants.get(getattr(node, "id", ""))
            for node in (name_asked, default_asked)
        )
        if isinstance(name, str) and NAME.fullmatch(name):
            yield name, default


def questions(tree: ast.AST) -> Iterator[tuple[ast.expr, ast.expr | None]]:
    """The expressions for name and default in each look into the environment; setting a variable is none."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
            if isinstance(node.ctx, ast.Load):
                yield node.slice, None
        elif isinstance(node, ast.Call) and re.fullmatch(r"os\.(environ\.\w+|getenv)", ast.unparse(node.func)):
            if node.args:
                yield node.args[0], node.args[1] if len(node.args) > 1 else None
        elif isinstance(node, ast.Compare) and ast.unparse(node.comparators[0]) == "os.environ":
            yield node.left, None


def variables_of_shell(script: str) -> set[str]:
    """Names in capitals that a script expands and does not set itself."""
    text = re.sub(r"^\s*#.*$", "", script, flags=re.MULTILINE)
    set_there = re.findall(r"^\s*(?:export |readonly |local )?([A-Z][A-Z0-9_]+)=", text, re.MULTILINE)
    return set(re.findall(r"\$\{?([A-Z][A-Z0-9_]{2,})", text)) - set(set_there)


def rows_of(repository: Path, heading: str) -> dict[str, str]:
    """The rows of the table below a heading of the page, by the first cell without its backticks."""
    section = (repository / "docs/workspace.md").read_text("utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `([^`]+)` \| (.*) \|$", section, re.MULTILINE))


def patterns_of(*files: Path) -> Iterable[str]:
    """The patterns of ignore files: neither comments nor empty lines."""
    lines = [line.strip() for file in files for line in file.read_text("utf-8").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def test_every_variable_read_is_explained_and_no_other(repository):
    assert sorted(rows_of(repository, "Environment variables")) == sorted(variables_read(repository))


def test_the_defaults_are_those_of_the_code(repository):
    rows = rows_of(repository, "Environment variables")
    defaults = {(name, default) for name, default in variables_of_all_python(repository) if default and name in rows}
    assert defaults
    assert [pair for pair in sorted(defaults) if f"`{pair[1]}`" not in rows[pair[0]].split(" | ")[0]] == []


def test_every_ignored_pattern_is_explained_and_no_other(repository):
    dvc = [f".dvc{pattern}" for pattern in patterns_of(repository / ".dvc/.gitignore")]
    assert sorted(rows_of(repository, "What git ignores")) == sorted([*patterns_of(repository / ".gitignore"), *dvc])


def test_the_variables_of_a_module_are_found_however_it_asks():
    source = """
KEY = "A_KEY"
os.environ[KEY]
os.environ.get("B_KEY", "x")
os.getenv("C_KEY")
"D_KEY" in os.environ
os.environ["SET_KEY"] = "y"
"""
    found = dict(variables_of_python(source))
    assert found == {"A_KEY": None, "B_KEY": "x", "C_KEY": None, "D_KEY": None}


def test_a_script_reads_what_it_does_not_set():
    assert variables_of_shell("REASON=x\necho $REASON ${MODEL_NAME:-y}\n# $NOTHING") == {"MODEL_NAME"}
