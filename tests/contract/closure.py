"""Which files of this project a module runs, read off its imports."""

from __future__ import annotations

import ast
from pathlib import Path

ROOTS = {"graft": Path("src/graft"), "pipeline": Path("pipeline")}


def import_closure(file: str, repository: Path) -> set[str]:
    """The project's files that importing `file` can ever run, lazily imported ones included, itself too."""
    seen: set[str] = set()
    todo = [file]
    while todo:
        current = todo.pop()
        if current not in seen:
            seen.add(current)
            todo += imports_of(repository / current, repository)
    return seen


def imports_of(path: Path, repository: Path) -> list[str]:
    """The project's files that one file imports, but for those only a type checker reads."""
    files = []
    for node in _run_time_nodes(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        files += [file for name in names for file in _files_of(name, repository)]
    return files


def _run_time_nodes(tree: ast.AST) -> list[ast.AST]:
    nodes: list[ast.AST] = []
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        nodes += [child, *_run_time_nodes(child)]
    return nodes


def _files_of(name: str, repository: Path) -> list[str]:
    """The file of a module and the `__init__.py` of every package above it."""
    package, *parts = name.split(".")
    if package not in ROOTS:
        return []
    files = []
    for depth in range(len(parts) + 1):
        place = ROOTS[package].joinpath(*parts[:depth])
        candidates = [place / "__init__.py", place.with_suffix(".py")]
        files += [path.as_posix() for path in candidates if (repository / path).is_file()]
    return files
