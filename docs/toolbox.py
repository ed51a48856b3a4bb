"""Writes docs/toolbox.md from the registries: `python -m docs.toolbox`. A test fails while the page is stale."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from graft.foundation.choices import option_rules
from graft.params import registries

REGISTRIES = registries.REGISTRIES | {
    "fine_tune.class_weights": (
        "graft.training.class_weights",
        "CLASS_WEIGHTS",
    ),  # these two take no options: a name alone
    "fine_tune.warmup": ("graft.training.schedules.warm_up", "WARM_UPS"),
    "graft select --scores": ("graft.selection.transferability", "SCORES"),
}
PAGE = Path(__file__).with_name("toolbox.md")
HEAD = """# The toolbox

Every choice of `params.yaml`, what it is, when it helps, and where its defaults come from. This page is written by
`make docs` from the docstrings and signatures of the registries in `src/graft`; edit those.
"""
TITLES = {
    "model": "Models",
    "preprocess.resize": "Resize rules",
    "ingest.source": "Sources",
    "augment.memory": "Memories of earlier deliveries",
    "augment.policy": "Augmentation policies",
    "pretrain_load.source": "Pretrained weights",
    "pretrain_load.initialisation": "Initialisation of new layers",
    "fine_tune.sampling": "Sampling",
    "fine_tune.mixing": "Mixing",
    "fine_tune.strategy": "Strategies",
    "fine_tune.losses": "Losses",
    "fine_tune.class_weights": "Class weights",
    "fine_tune.optimizer": "Optimizers",
    "fine_tune.schedule": "Schedules",
    "fine_tune.warmup": "Warm-up",
    "fine_tune.averaging": "Averaged weights",
    "export.targets": "Export targets",
    "graft select --scores": "Scores that rank pretrained models",
}


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(part for key in TITLES for part in registry_section(key))])


def registry_section(key: str) -> Iterator[str]:
    """Heading, table and cards of the registry behind a key of `params.yaml`."""
    module, name = REGISTRIES[key]
    registry = getattr(importlib.import_module(module), name)
    where = f"`{key}`" if key.startswith("graft ") else f"`{key}` in `params.yaml`"
    folder = Path("src", *module.split("."))
    source = folder if (PAGE.parents[1] / folder).is_dir() else folder.with_suffix(".py")
    yield f"## {TITLES[key]}\n\n{where}; `{source}`.\n"
    entries = by_name(registry)
    yield "| name | task | what it is |\n| --- | --- | --- |"
    for entry_name, (entry, tasks) in entries.items():
        yield f"| [`{entry_name}`](#{anchor(key, entry_name)}) | {tasks} | {first_sentence(entry)} |"
    yield ""
    for entry_name, (entry, _) in entries.items():
        yield from card(key, entry_name, entry)


def by_name(registry: Mapping[str, Any]) -> dict[str, tuple[Callable[..., Any], str]]:
    """Entries and the tasks they serve, by name, whether or not the registry is split by task."""
    nested = {task: entries for task, entries in registry.items() if isinstance(entries, Mapping)}
    if nested:
        return {
            (name if sum(name in others for others in nested.values()) == 1 else f"{name} ({task})"): (entry, task)
            for task, entries in nested.items()
            for name, entry in sorted(entries.items())
        }
    tasks = tasks_of(registry)
    return {name: (entry, ", ".join(tasks.get(name, ())) or "all") for name, entry in sorted(registry.items())}


def tasks_of(registry: Mapping[str, Callable[..., Any]]) -> Mapping[str, tuple[str, ...]]:
    """Tasks that each entry serves, as the registry's own module says; empty where all serve all of them."""
    package = next(iter(registry.values())).__module__.rpartition(".")[0]
    return getattr(importlib.import_module(package), "TASKS", {})


def card(key: str, name: str, entry: Callable[..., Any]) -> Iterator[str]:
    """The card of an entry: its docstring, and its options with rule, default and meaning."""
    text, meanings = parsed(entry)
    yield f'<a id="{anchor(key, name)}"></a>\n### {name}\n\n{text}\n'
    rules = option_rules(entry)
    if not rules:
        return
    yield "| option | values | default | meaning |\n| --- | --- | --- | --- |"
    for option, (rule, default) in rules.items():
        shown = "needed" if default is inspect.Parameter.empty else f"`{shown_value(default)}`"
        meaning = meanings.get(option, "").replace("|", "\\|")
        yield f"| `{option}` | {values(rule.json_schema()).replace('|', chr(92) + '|')} | {shown} | {meaning} |"
    yield ""


def parsed(entry: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """A Google docstring: the text before its sections, and what it says of each argument."""
    doc = inspect.getdoc(entry) or ""
    sections = re.split(r"^(Args|Returns|Raises|Attributes):\n", doc, flags=re.MULTILINE)
    arguments = sections[sections.index("Args") + 1] if "Args" in sections else ""
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", arguments, re.MULTILINE)
    return sections[0].strip(), {name: " ".join(text.split()) for name, text in found}


def first_sentence(entry: Callable[..., Any]) -> str:
    """First sentence of the docstring."""
    return " ".join(parsed(entry)[0].split("\n\n")[0].split()).replace("|", "\\|")


def values(schema: Mapping[str, Any]) -> str:
    """Values an option takes, in words."""
    if "anyOf" in schema:
        return " or ".join(values(part) for part in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{shown_value(value)}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        inside = schema.get("items") or {}
        return f"list of {values(inside)}" if inside else "list"
    words = {"integer": "whole number", "number": "number", "boolean": "`true`, `false`", "string": "text"}
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = ", ".join(f"{sign} {schema[name]}" for name, sign in bounds.items() if name in schema)
    kind = {"null": "`null`", "object": "mapping"} | words
    return " ".join(filter(None, [kind.get(schema.get("type", ""), "any"), limits]))


def shown_value(value: Any) -> str:
    """A value as YAML writes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(shown_value, value))}]"
    return str(value)


def anchor(key: str, name: str) -> str:
    """Anchor of an entry's card on the page."""
    return re.sub(r"[^a-z0-9]+", "-", f"{key} {name}".lower()).strip("-")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
