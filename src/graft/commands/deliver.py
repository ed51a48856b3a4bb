"""Writing a later delivery into a params file: read like one that is there, and tried before anything is written."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml.comments import CommentedMap

from graft.data.formats import FORMATS
from graft.data.formats.unlabelled_images import add_unlabelled
from graft.foundation.choices import resolve
from graft.foundation.class_map import SPLITS
from graft.foundation.content import replace_file
from graft.foundation.errors import GraftError, suggest
from graft.params.delivery_rules import find_delivery_problems
from graft.params.params_file import PARAMS_FILE, load_params, rule_problems
from graft.params.sections import Params
from graft.params.yaml_tree import dump_tree, plain, read_tree

COPIED = ("source", "unlabelled")


def add_delivery(folder: str, name: str, like: str | None = None, path: Path = PARAMS_FILE) -> list[str]:
    """Adds a folder as the last of `ingest.deliveries`; returns a line that says what it holds, and one for what next.

    Its files are listed by the source, and no image is opened. What is wrong leaves the file as it was.

    Args:
        folder: Folder of the images.
        name: Name of the delivery.
        like: Name of the delivery whose source reads this one too; by default the first.
        path: The params file.

    Raises:
        GraftError: A rule is broken, the name is taken, or the source finds nothing that it can use in the folder.
    """
    before, tree = load_params(path).ingest, read_tree(path)
    if name in before.deliveries:
        remedy = "choose another name, or edit the entry that is there"
        raise GraftError(f"ingest.deliveries.{name} is there already", where=path, remedy=remedy)
    put_delivery(tree, name, folder, how_to_read(tree, like))
    with replace_file(path) as pending:  # an error within leaves the file as it was
        pending.write_text(dump_tree(tree), encoding="utf-8")
        counts = count_images(check_deliveries(path, read_tree(pending)), name)
    return [f"{path}: added ingest.deliveries.{name}: {tell_counts(counts)} images", "Next: dvc repro (or make repro)"]


def how_to_read(tree: CommentedMap, like: str | None) -> dict[str, Any]:
    """The source of a delivery and what says which of its images have no label; of the first if no name is given.

    Raises:
        GraftError: There is no delivery of this name.
    """
    first, later = tree["ingest"], tree["ingest"]["deliveries"]
    names = [first["batch"], *later]
    if like is not None and like not in names:
        raise GraftError(f"there is no delivery {like!r}", where="ingest.deliveries", remedy=suggest(like, names))
    model = first if like in (None, first["batch"]) else later[like]
    return {key: copy.deepcopy(model[key]) for key in COPIED if model.get(key) is not None}


def put_delivery(tree: CommentedMap, name: str, folder: str, reading: Mapping[str, Any]) -> None:
    """Writes a delivery into a params tree, as the last."""
    deliveries = tree["ingest"]["deliveries"]
    deliveries.fa.set_block_style()
    deliveries[name] = CommentedMap(root=folder, **reading)


def tell_counts(counts: Mapping[str, int]) -> str:
    """The number of images in each split, in words."""
    return ", ".join(f"{counts[split]:,} {split}" for split in SPLITS if counts[split])


def check_deliveries(path: Path, tree: CommentedMap) -> Params:
    """The params in a tree, if they break no rule.

    Raises:
        GraftError: They do.
    """
    problems = [error for _, error in find_delivery_problems(tree)]
    try:
        params = Params.model_validate(plain(tree))
    except ValidationError as error:
        problems += rule_problems(path, tree, error)
    if problems:
        raise problems[0] if len(problems) == 1 else GraftError.of_all("the delivery breaks the rules", problems)
    return params


def count_images(params: Params, name: str) -> Counter[str]:
    """The number of images of a later delivery in each split, by the names of its files.

    Raises:
        GraftError: The source finds nothing that it can use in the folder.
    """
    section, where = params.ingest.of(name), f"ingest.deliveries.{name}.source"
    root = Path(section.root)
    listing = resolve(FORMATS, section.source, where=where)(params.task, section.split_seed, root)
    listing = add_unlabelled(listing, root, section.unlabelled)
    if listing.problems:
        raise GraftError.of_all(f"{root}: files that cannot be used", listing.problems, remedy="fix or remove them")
    return Counter(entry.split for entry in listing.entries)
