"""Examining a whole params file: its rules, every choice in it, and the way its values go together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from graft.foundation.content import sha256_of
from graft.foundation.errors import GraftError
from graft.foundation.packages import digest_weights
from graft.models.pins import WEIGHTS_FILES
from graft.params.delivery_rules import find_delivery_problems
from graft.params.memory import Finding, recall
from graft.params.needed_splits import find_missing_splits
from graft.params.params_file import read_complete, rule_problems
from graft.params.recipes import recipe_of
from graft.params.registries import resolve_choice, written_choices
from graft.params.sections import Params
from graft.params.surroundings import (
    find_absent_device,
    find_emulated_precision,
    find_package_problem,
)
from graft.params.yaml_tree import line_of, plain


def check_file(path: Path, *, here: bool = False, memory: Path | None = None) -> list[GraftError]:
    """Checks a whole params file, every choice in it and the way its values go together included.

    Args:
        path: The file.
        here: Whether the stages shall run on this machine; else a device that it lacks is only returned.
        memory: File that keeps what was found, so that an unchanged file is not judged by the libraries twice; the
            values of a bundled recipe, which the tests judge, are not judged at all.

    Returns:
        What is no mistake but does not work here, or is slow.

    Raises:
        GraftError: As `load_params` and `resolve_choices`; everything that is wrong is listed, each with its line.
    """
    tree = read_complete(path)
    values = plain(tree)
    problems: list[GraftError] = []
    try:
        Params.model_validate(values)
    except ValidationError as error:
        problems = rule_problems(path, tree, error)
    found: list[Finding] = [*find_delivery_problems(tree)]
    device, precision = (_value(values, "runtime", key) for key in ("device", "precision"))
    absent, emulated = find_absent_device(device), find_emulated_precision(device, precision)
    found += [(("runtime", "device"), absent)] if absent is not None and here else []
    packaged = find_package_problem(_weights_of(values))
    found += [(("pretrain_load", "source"), packaged)] if packaged is not None else []
    found += _examine(values, memory, are_sections_fine=not problems)
    if not problems and not any(place[:1] == ("ingest",) and place[-1] == "source" for place, _ in found):
        found += find_missing_splits(Params.model_validate(values))
    problems += [error.at(f"{path}:{line_of(tree, place)}") for place, error in found]
    if problems:
        raise GraftError.of_all(f"{path} breaks the rules", problems)
    return [remark for remark in (absent, emulated) if remark is not None]


def _examine(values: Mapping[str, Any], memory: Path | None, *, are_sections_fine: bool) -> Sequence[Finding]:
    """Finds choices that do not exist, and if there are none, values that do not go together; imports torch."""

    def examine() -> Sequence[Finding]:
        found: list[Finding] = []
        for place, key, spec in written_choices(values):
            try:
                resolve_choice(key, spec, values.get("task"))
            except GraftError as error:
                found.append((place, error))
        if found or not are_sections_fine:
            return found
        from graft.params.compatibility import find_disagreements

        return [*find_disagreements(Params.model_validate(values))]

    if memory is None or not are_sections_fine:
        return examine()
    if recipe_of(values) is not None:
        return []
    return recall(memory, {"values": values, "weights": _digest_weights(values)}, examine)


def _digest_weights(values: Any) -> Any:
    """The digests of the files of weights, and of teachers, that the values name and that are here."""
    teachers = _digest_teachers(_value(values, "fine_tune", "strategy", "teacher"))
    return {"source": _digest_source(values), "teachers": teachers} if teachers else _digest_source(values)


def _digest_teachers(written: Any) -> list[str]:
    names = [_value(one, "model") for one in (written if isinstance(written, list) else [written])]
    paths = [Path(name, file) for name in names if isinstance(name, str) for file in WEIGHTS_FILES]
    return [sha256_of(path) for path in paths if path.is_file()]


def _digest_source(values: Any) -> Any:
    source = _weights_of(values)
    path, package = _value(source, "path"), _value(source, "package")
    if isinstance(package, str):
        return digest_weights(package)
    return sha256_of(Path(path)) if isinstance(path, str) and Path(path).is_file() else None


def _weights_of(values: Any) -> Any:
    """The source that weights are read from: what `self_supervised` starts from, any other itself."""
    source = _value(values, "pretrain_load", "source")
    return source if (start := _value(source, "start")) is None else start


def _value(values: Any, *place: str) -> Any:
    """The value at a place of a file that may break other rules; None where there is none."""
    for part in place:
        values = values.get(part) if isinstance(values, dict) else None
    return values
