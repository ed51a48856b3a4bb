"""An update of the champion by new deliveries: the params of it, its run, and what was gained and forgotten."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.commands.deliver import how_to_read, put_delivery
from graft.commands.pin import pins
from graft.data.shards import num_rows, read_columns
from graft.foundation.class_map import ClassMap
from graft.foundation.content import replace_file
from graft.foundation.errors import GraftError
from graft.foundation.progress import say
from graft.models.address import ModelAddress
from graft.params.yaml_tree import dump_tree, on_one_line, plain, write_text
from graft.provenance.promotion import history, move
from graft.provenance.promotion.freeze import freeze_parts
from graft.provenance.promotion.frozen_images import FrozenImages
from graft.provenance.promotion.measurement import Comparison, compare, score_classes
from graft.provenance.repair import set_aside_damaged_lock
from graft.provenance.stages import CLASS_MAP, EXPORTED, INTERIM, TRAIN
from graft.provenance.tracking.updates import UPDATING
from graft.training.strategies import FROM_PARENT
from graft.training.strategies.shared_options import SHARED

if TYPE_CHECKING:
    from ruamel.yaml.comments import CommentedMap

    from graft.params.sections import Params
    from graft.provenance.tracking.mlflow_store import MlflowClient

STRATEGY = "incremental"
TEST = Path(INTERIM) / "test"
KINDS = ("all", "delivery", "domain", "class")  # of changes, in the order of the table


@dataclass(frozen=True)
class NewDelivery:
    """A folder of new images.

    Attributes:
        name: Name of the delivery.
        root: Folder of its images.
        reading: Source that reads them, by its key `source`, and what else says how they are read.
    """

    name: str
    root: str
    reading: Mapping[str, Any]


@dataclass(frozen=True)
class Parent:
    """The champion that an update grows out of.

    Attributes:
        name: Name of the registered model.
        number: Number of the version.
        digest: Digest of its files, as the ledger has it.
        source: Source of pretrained weights that pins it.
    """

    name: str
    number: int
    digest: str
    source: Mapping[str, Any]


def find_parent(store: MlflowClient, name: str, params: Params) -> Parent:
    """Finds the champion of a registered model, and pins it as a source of weights.

    Raises:
        GraftError: There is no champion, or its files cannot be fetched.
    """
    standing = history.champion(move.settle(store, name))
    if standing is None:
        raise GraftError(
            f"{name} has no champion",
            rule="an update grows out of the model in force",
            remedy="make repro, commit, graft promote; or add the folder to ingest.deliveries and train on all of it",
        )
    source = {"name": "registry", "model_uri": str(ModelAddress(name, standing.version))}
    pinned = {**source, **pins(source, params.task, params.model)}
    return Parent(name, standing.version, standing.promoted.model_digest, pinned)


def name_of(folder: Path) -> str:
    """A name for the delivery in a folder: that of the folder, in the letters a name may have."""
    return re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "delivery"


def read_delivery(
    tree: CommentedMap, name: str, folder: Path, like: str | None, source: Mapping[str, Any] | None
) -> NewDelivery:
    """A delivery that is read by a source, or like another one; by default as its entry says, or else as the first.

    Args:
        tree: Params as `read_tree` read them.
        name: Name of the delivery.
        folder: Folder of its images.
        like: Name of the delivery that is read the same way.
        source: Source that reads it.

    Raises:
        GraftError: There is no delivery to read it like.
    """
    if source is not None:
        return NewDelivery(name, str(folder), {"source": on_one_line(source)})
    own = name if name in tree["ingest"]["deliveries"] else None
    return NewDelivery(name, str(folder), how_to_read(tree, like or own))


def compose_update(
    tree: CommentedMap, new: Sequence[NewDelivery], parent: Parent, num_remembered: int, choice: str | None = None
) -> CommentedMap:
    """Writes an update into a params tree: the deliveries, their parent, the memory and the strategy.

    Composed again from its own result, an update is the same.

    Args:
        tree: Params as `read_tree` read them; changed in place.
        new: Deliveries to be learnt.
        parent: Champion that the update grows out of.
        num_remembered: Number of images of earlier deliveries that get views.
        choice: How they are chosen; None as the tree chooses them, by default at random.

    Raises:
        GraftError: A name is that of another delivery.
    """
    for one in new:
        written, known = {"root": one.root, **one.reading}, tree["ingest"]["deliveries"].get(one.name)
        if known is None:
            put_delivery(tree, one.name, one.root, one.reading)
        elif _in_substance(known) != _in_substance(written):
            raise GraftError(
                f"there is another delivery called {one.name}, of {known['root']}",
                where="ingest.deliveries",
                rule="a delivery keeps its name, its folder and its source",
                remedy="give the new one a name of its own: --name NAME",
            )
    names = [one.name for one in new]
    memory: dict[str, Any] = {"name": "balanced", "new": names, "num_images": num_remembered}
    chosen = plain(tree["augment"]["memory"])
    if choice is not None:
        memory["choice"], tree["augment"]["parent"] = choice, "none" if choice == "random" else "pretrained"
    elif isinstance(chosen, dict) and "choice" in chosen:
        memory["choice"] = chosen["choice"]
    if isinstance(chosen, dict) and (left_out := chosen.get("images", chosen.get("without"))):
        memory["without"] = left_out  # a review found their labels wrong: an update does not bring them back
    tree["augment"]["memory"] = on_one_line(memory)
    tree["pretrain_load"]["source"] = on_one_line(parent.source)
    tree["pretrain_load"]["images"] = "none"
    tree["pretrain_load"]["part"] = "all"
    tree["fine_tune"]["strategy"] = on_one_line(_keeping(plain(tree["fine_tune"]["strategy"])))
    tree["fine_tune"]["baseline"] = False  # from scratch, on a part of the data, it would say nothing
    return tree


def _in_substance(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a delivery's entry, however it is spelt: `data/nov/` is `data/nov`, and null says nothing."""
    said = {key: value for key, value in plain(entry).items() if value is not None}
    return said | {"root": Path(said["root"])}


def _keeping(strategy: str | Mapping[str, Any]) -> dict[str, Any]:
    """The strategy if it keeps what a parent knows, else the one for updates, which moves as that does."""
    options = {"name": strategy} if isinstance(strategy, str) else dict(strategy)
    if options["name"] in FROM_PARENT:
        return options
    return {"name": STRATEGY, **{key: value for key, value in options.items() if key in SHARED}}


def count_remembered(most: int, new: Sequence[NewDelivery], params: Params) -> int:
    """The size of the memory: `most`, or all training images of the deliveries before where these are fewer."""
    if not Path(TRAIN).is_dir():
        return most
    earlier = set(params.ingest.names) - {one.name for one in new}
    return min(most, sum(delivery in earlier for (delivery,) in read_columns(Path(TRAIN), ("batch",))))


@contextlib.contextmanager
def put_in_place(path: Path, tree: CommentedMap) -> Iterator[None]:
    """Replaces the params file in one step; whatever fails meanwhile, the file is as it was before.

    After `kill -9` it holds the whole update, and the same command goes on from there.
    """
    before = path.read_bytes()
    write_text(path, dump_tree(tree))
    try:
        yield
    except BaseException:
        with replace_file(path) as pending:
            pending.write_bytes(before)
        raise


def run_stages() -> None:
    """Runs `dvc repro`, whose output goes where that of this process goes, after what a killed one left is repaired.

    Raises:
        GraftError: A stage stopped; it has said why.
    """
    if said := set_aside_damaged_lock():
        say(said)
    dvc = Path(sys.executable).with_name("dvc")
    done = subprocess.run([str(dvc), "repro"], env={**os.environ, UPDATING: "yes"})
    if done.returncode:
        raise GraftError(
            f"dvc repro ended with status {done.returncode}; what it said stands above",
            rule="an update is whole, or params.yaml stays as it was",
            remedy="mend what it names and repeat this command: stages that have run are not run again",
        )


def measure_update(parent: Parent, params: Params) -> tuple[Comparison, dict[str, float | None]]:
    """Scores the champion and the exported model on the test images of every delivery.

    Args:
        parent: Champion, whose files are fetched and compared with the ledger.
        params: Params, with how to score.

    Returns:
        The comparison, on the classes that both have, and the score of each class that the champion lacks.

    Raises:
        GraftError: A model or an image cannot be read.
    """
    classes, model = ClassMap.read(Path(CLASS_MAP)), Path(EXPORTED)
    images = FrozenImages(((TEST, frozenset(range(num_rows(TEST)))),), classes.names)
    with tempfile.TemporaryDirectory(prefix="graft-") as folder:
        champion = move.download_verified(parent.name, parent.number, parent.digest, Path(folder))
        found = compare(model, champion, images, params)
    grown = [name for name in classes.names if name not in found.class_names]
    return found, score_classes(model, TEST, params, grown) if grown else {}


def freeze_test_parts(store: MlflowClient, name: str, params: Params, number: int) -> str:
    """Adds the test images of all later deliveries to the test set in force; says what became of them.

    What cannot be frozen now is told and no failure: the update is judged by then, and the gate judges it again.
    """
    try:
        frozen = freeze_parts(store, name, params, number, params.ingest.names[1:])
    except GraftError as error:
        return f"The test set stays as it is. {error}"
    if frozen is None:
        return f"{name} has no test set yet; the first promotion freezes one"
    if frozen.entry is None:
        return f"{frozen.test_set} stays as it is: no delivery has further test images"
    (row,) = frozen.entry.rules
    parts = ", ".join(part.name for part in frozen.test_set.parts)
    return (
        f"frozen: {frozen.test_set}, of {parts}; {row['rule']}: {row['value']}\n"
        "commit ledger.jsonl, and run dvc push so that the team has its images"
    )


def table_of(found: Comparison, new_classes: Mapping[str, float | None]) -> list[tuple[str, str, str, str]]:
    """The rows that say what was gained and forgotten: subject, champion, update and change with its interval."""
    rows = []
    for change in sorted(found.changes, key=lambda change: KINDS.index(change.kind)):
        subject = change.name if change.kind == "all" else f"{change.kind} {change.name}"
        ends = "" if change.interval is None else f" [{change.interval[0]:+.3f}, {change.interval[1]:+.3f}]"
        moved = "" if change.difference is None else f"{change.difference:+.4f}{ends}"
        rows.append((subject, _number(change.before), _number(change.after), moved))
    return rows + [(f"new class {name}", "", _number(score), "") for name, score in new_classes.items()]


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
