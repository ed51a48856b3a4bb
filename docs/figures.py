"""Draws the figures of docs/design.md from dvc.yaml, pyproject.toml and the packages: `python -m docs.figures`.

A test fails while the page is stale.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs/design.md"
RECORDS = "reports/records/"  # each stage has one and none reads them: they would only blur the figure


def page() -> str:
    """The page with every figure drawn anew; what stands around the figures stays as it is."""
    text = PAGE.read_text("utf-8")
    for name, draw in FIGURES.items():
        between = re.compile(f"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        figure = "\n".join(draw())
        text, num_found = between.subn(lambda match, drawn=figure: f"{match[1]}{drawn}\n{match[2]}", text)
        if num_found != 1:
            raise ValueError(f"{PAGE}: {num_found} places for the figure {name}, not one")
    return text


def data_flow() -> Iterator[str]:
    """The stages of dvc.yaml, what each writes, and the parts of it that others read."""
    declared = YAML(typ="safe").load(REPOSITORY / "dvc.yaml")["stages"]
    stages = {name: stage.get("do", stage) for name, stage in declared.items()}
    outputs = [output for stage in stages.values() for output in data_outputs(stage)]
    yield from ["```mermaid", "flowchart TD"]
    yield '  root[("{ingest.root}<br/>your images")] --> ingest'
    yield '  later[("{item.root}<br/>of each of ingest.deliveries")] --> ingest_delivery'
    for name, stage in stages.items():
        yield f"  {node(name)}([{name}])"
        for output in data_outputs(stage):
            yield f'  {node(name)} --> {node(output)}[("{shown(output)}")]'
    for name, stage in stages.items():
        for output, parts in parts_read(stage, outputs).items():
            label = f'|"{"<br/>".join(parts)}"|' if all(parts) else ""
            yield f"  {node(output)} -->{label} {node(name)}"
    yield "```"


def data_outputs(stage: dict[str, Any]) -> list[str]:
    """The folders a stage writes, its record aside."""
    return [output for output in stage["outs"] if not output.startswith(RECORDS)]


def parts_read(stage: dict[str, Any], outputs: list[str]) -> dict[str, list[str]]:
    """The parts of other stages' outputs that a stage depends on, by output; an empty name is the whole folder."""
    parts: dict[str, list[str]] = {}
    for dependency in stage["deps"]:
        for output in outputs:
            if f"{dependency}/".startswith(f"{output}/"):
                parts.setdefault(output, []).append(shown(dependency.removeprefix(output).lstrip("/")))
            elif output.startswith(f"{dependency}/"):
                parts.setdefault(output, []).append("")
    return parts


def shown(path: str) -> str:
    """A path of dvc.yaml as the figure shows it."""
    return re.sub(r"\$\{([\w.]+)\}", r"{\1}", path)


def node(path: str) -> str:
    """An identifier that Mermaid takes: some plain words, such as `end`, are its own."""
    return "n_" + re.sub(r"\W", "_", path) if "/" in path else path.replace("-", "_")


def layers() -> Iterator[str]:
    """The layers that import-linter checks, the highest first; an arrow leads to what a layer stands on."""
    levels = layer_names()
    yield from ["```mermaid", "flowchart TD"]
    for number, names in enumerate(levels):
        yield f'  level{number}["{" · ".join(names)}"]'
    yield "  " + " --> ".join(f"level{number}" for number in range(len(levels)))
    yield "```"


def layer_names() -> list[list[str]]:
    """The packages of each level, the highest level first."""
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
    contract = settings["tool"]["importlinter"]["contracts"][0]
    return [[name.strip() for name in level.split("|")] for level in contract["layers"]]


def packages() -> Iterator[str]:
    """A table of the packages, lowest level first: what each holds by its docstring, and the names in it."""
    yield "| package | what it holds | in it |\n| --- | --- | --- |"
    for names in reversed(layer_names()):
        for name in names:
            folder = REPOSITORY / ("src" if name.startswith("graft") else "") / name.replace(".", "/")
            contents = ", ".join(f"`{entry}`" for entry in names_in(folder))
            yield f"| `{name}` | {first_sentence(folder / '__init__.py')} | {contents} |"


def names_in(folder: Path) -> list[str]:
    """The modules and packages of a folder; a package ends in a slash."""
    packages = [f"{path.parent.name}/" for path in folder.glob("*/__init__.py")]
    modules = [path.stem for path in folder.glob("*.py") if path.stem != "__init__"]
    return sorted(packages) + sorted(modules)


def first_sentence(file: Path) -> str:
    """The docstring of a module up to its first blank line, on one line."""
    doc = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    return " ".join(doc.split("\n\n")[0].split()).replace("|", "\\|")


FIGURES = {"data flow": data_flow, "layers": layers, "packages": packages}

if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
