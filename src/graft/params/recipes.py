"""Recipes: complete params files for common jobs, listed, shown, and put in the place of `params.yaml`."""

from __future__ import annotations

import shutil
from pathlib import Path

from graft.foundation.choices import resembling
from graft.foundation.errors import GraftError
from graft.foundation.installation import PIPELINE
from graft.params.params_file import PARAMS_FILE

FOLDER = PIPELINE / "recipes"


def recipes(folder: Path = FOLDER) -> dict[str, Path]:
    """Every recipe's file, by name."""
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def recipe(name: str, folder: Path = FOLDER) -> Path:
    """The file of a recipe.

    Raises:
        GraftError: There is none of this name.
    """
    known = recipes(folder)
    if name not in known:
        raise GraftError(f"there is no recipe named {name!r}", where=folder, remedy=resembling(name, known))
    return known[name]


def about(path: Path) -> str:
    """What a recipe says of itself: the comment it begins with, without the marks, a paragraph."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return " ".join(lines)


def use(name: str, *, force: bool = False, params_file: Path = PARAMS_FILE, folder: Path = FOLDER) -> str:
    """Puts a recipe in the place of the params file; returns what was done, a sentence.

    A params file that is a recipe word for word is replaced. Any other holds values of a person's own: it is kept as
    `params.yaml.before` where `force` is given.

    Raises:
        GraftError: No such recipe, or the params file holds values of its own and `force` is not given.
    """
    chosen = recipe(name, folder)
    kept = ""
    if params_file.exists():
        now = params_file.read_bytes()
        if now == chosen.read_bytes():
            return f"{params_file} is the recipe {name} already"
        if all(now != path.read_bytes() for path in recipes(folder).values()):
            if not force:
                raise GraftError(
                    "holds values of your own",
                    where=params_file,
                    rule="a recipe takes the place of a params file only if nothing of yours is lost",
                    remedy=f"copy it elsewhere, or run graft recipe use {name} --force, which keeps it as "
                    f"{params_file}.before",
                )
            shutil.copy2(params_file, f"{params_file}.before")
            kept = f"; what was there is {params_file}.before"
    arriving = params_file.with_name(f".tmp-{params_file.name}")
    shutil.copyfile(chosen, arriving)
    arriving.replace(params_file)
    return f"{params_file} is the recipe {name} now{kept}. Look at ingest.root, then run: dvc repro"
