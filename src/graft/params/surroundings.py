"""Surroundings that `params.yaml` speaks of: the folder of images, what this machine has, a package of weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graft.foundation.errors import GraftError
from graft.foundation.packages import find_package
from graft.params.yaml_tree import plain, read_tree

PIPELINE_FILE = Path("dvc.yaml")


def find_root_problems(root: Any, name: str = "ingest.root") -> Iterator[GraftError]:
    """Finds what is wrong with a root: it is not a folder that is there, or holds what the stages write.

    Args:
        root: Value of `ingest.root`; anything but text is left to the rules of the section.
        name: Key of the root, where it is that of a later delivery.
    """
    if not isinstance(root, str) or not root:
        return
    if root.startswith("~"):
        what = f"{name} is {root!r}, and nothing but a shell knows what ~ means"
        yield GraftError(what, remedy=f"write the whole path: {Path(root).expanduser()}" if _is_home(root) else None)
    elif not Path(root).is_dir():
        there = "a file" if Path(root).exists() else "nothing"
        rule = f"it is a folder; a path that does not begin with / starts at {Path.cwd()}"
        yield GraftError(f"{name} is {root!r}, and there is {there}", rule=rule, remedy="correct the path")
    elif own := [out for out in _outputs() if _overlap(Path(root), out)]:
        yield GraftError(
            f"{name} is {root!r}, which holds the project's own {', '.join(map(str, own))}"
            if any(_is_within(out, Path(root)) for out in own)
            else f"{name} is {root!r}, which lies in {own[0]}, where a stage writes",
            rule="a stage never reads what it or a later one writes",
            remedy="give your images a folder of their own, as data/raw, and name that",
        )


def refuse_written_by_stage(place: Path, name: str) -> None:
    """Refuses a finished model, or a file of it, that a stage of this project writes, and so may replace.

    Args:
        place: The folder or file.
        name: Its name in the params.

    Raises:
        GraftError: It lies in the output of a stage.
    """
    if own := [out for out in _outputs() if _is_within(place, out)]:
        raise GraftError(
            f"{name} lies in {own[0]}, which a stage of this project writes",
            rule="a model that another one learns from stays what it was: audit looks at it again",
            remedy="name the version that is registered, models:/NAME@candidate, and run graft pin; or copy it",
        )


def find_absent_device(device: Any) -> GraftError | None:
    """The error that names a device this machine lacks; None where it is there, or is no device at all."""
    if device not in ("cuda", "mps"):
        return None
    from graft.inference.runtime import refuse_absent

    try:
        refuse_absent(device)
    except GraftError as error:
        return error
    return None


def find_package_problem(source: Any) -> GraftError | None:
    """The error that names a package of weights that is not installed as a lock file says; None for any other source.

    Args:
        source: Value of `pretrain_load.source`; options that break a rule are left to the registry.
    """
    package = source.get("package") if isinstance(source, dict) and source.get("name") == "package" else None
    if not isinstance(package, str):
        return None
    try:
        find_package(package)
    except GraftError as error:
        return error
    return None


def find_emulated_precision(device: Any, precision: Any) -> GraftError | None:
    """The error that names a precision this processor has no units for; None where it has, or is no precision."""
    if device != "cpu" or precision not in ("bf16", "fp16"):
        return None
    from graft.inference.runtime import emulated_precision

    return emulated_precision(device, precision)


def _is_home(root: str) -> bool:
    return root == "~" or root.startswith("~/")


def _outputs() -> list[Path]:
    """The folders and files that the stages of this project write; none outside a project."""
    if not PIPELINE_FILE.is_file():
        return []
    stages = plain(read_tree(PIPELINE_FILE)).get("stages", {})
    outs = [out for stage in stages.values() for out in stage.get("do", stage).get("outs", [])]
    above = (out.partition("/${")[0] for out in outs if isinstance(out, str))  # a name of a delivery may be anything
    return [Path(out) for out in dict.fromkeys(above)]


def _overlap(root: Path, out: Path) -> bool:
    return _is_within(out, root) or _is_within(root, out)


def _is_within(inner: Path, outer: Path) -> bool:
    return inner.resolve().is_relative_to(outer.resolve())
