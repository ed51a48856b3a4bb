"""Writing a later delivery into a params file: read like one that is there, and tried before anything is written."""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path

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
    if like is not None and like not in before.names:
        raise GraftError(f"there is no delivery {like!r}", where=path, remedy=suggest(like, before.names))
    if name in before.deliveries:
        remedy = "choose another name, or edit the entry that is there"
        raise GraftError(f"ingest.deliveries.{name} is there already", where=path, remedy=remedy)
    deliveries = tree["ingest"]["deliveries"]
    model = tree["ingest"] if like in (None, before.batch) else deliveries[like]
    given = {key: copy.deepcopy(model[key]) for key in COPIED if model.get(key) is not None}
    deliveries.fa.set_block_style()
    deliveries[name] = CommentedMap(root=folder, **given)
    with replace_file(path) as pending:  # an error within leaves the file as it was
        pending.write_text(dump_tree(tree), encoding="utf-8")
        counts = _count_images(_checked(path, read_tree(pending)), name)
    said = ", ".join(f"{counts[split]:,} {split}" for split in SPLITS if counts[split])
    return [f"{path}: added ingest.deliveries.{name}: {said} images", "Next: dvc repro (or make repro)"]


def _checked(path: Path, tree: CommentedMap) -> Params:
    """The params in a tree, if they break no rule."""
    problems = [error for _, error in find_delivery_problems(tree)]
    try:
        params = Params.model_validate(plain(tree))
    except ValidationError as error:
        problems += rule_problems(path, tree, error)
    if problems:
        raise problems[0] if len(problems) == 1 else GraftError.of_all("the delivery breaks the rules", problems)
    return params


def _count_images(params: Params, name: str) -> Counter[str]:
    """The number of images of a delivery in each split, by the names of its files."""
    section, where = params.ingest.of(name), f"ingest.deliveries.{name}.source"
    root = Path(section.root)
    listing = resolve(FORMATS, section.source, where=where)(params.task, section.split_seed, root)
    listing = add_unlabelled(listing, root, section.unlabelled)
    if listing.problems:
        raise GraftError.of_all(f"{root}: files that cannot be used", listing.problems, remedy="fix or remove them")
    return Counter(entry.split for entry in listing.entries)
