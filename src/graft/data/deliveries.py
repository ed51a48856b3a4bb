"""Deliveries as one data set: one class map, one manifest, and the shards side by side in the ids of the whole."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from graft.data.images.codec import decode_mask, encode_png
from graft.data.shards import MANIFEST_SCHEMA, Row, ShardWriter, TableWriter, num_rows, read_rows
from graft.foundation.class_map import IGNORE_INDEX, ClassMap
from graft.foundation.errors import GraftError
from graft.foundation.progress import say

CLASS_MAP, MANIFEST = "class_map.json", "manifest.parquet"
Ids = Mapping[int, int]  # from a class id of a delivery to that of the whole


def gather(ingested: Path, names: Sequence[str], out: Path) -> ClassMap:
    """Writes deliveries as one data set, and returns its classes.

    Shards whose ids are those of the whole are linked, not copied. Those of a delivery that numbers the classes
    differently are written again. Of one delivery every file stays what it is.

    Args:
        ingested: Folder with a folder for each delivery, as ingest wrote it.
        names: Names of the deliveries; the order decides the ids of the classes. Any other folder is passed over.
        out: Empty folder for `<split>/<name>-00000.parquet`, `manifest.parquet` and `class_map.json`.

    Raises:
        GraftError: A delivery is not there, or does not go together with those before it; nothing was written.
    """
    if lacking := [name for name in names if not (ingested / name / CLASS_MAP).is_file()]:
        raise GraftError(f"not read yet: {', '.join(lacking)}", where=ingested, remedy="run dvc repro")
    maps = {name: ClassMap.read(ingested / name / CLASS_MAP) for name in names}
    whole = merge_class_maps(maps)
    out.mkdir(parents=True, exist_ok=True)
    if len(names) == 1:
        for name in (CLASS_MAP, MANIFEST):
            _link(ingested / names[0] / name, out / name)
    else:
        whole.write(out / CLASS_MAP)
    masks: dict[str, dict[str, str]] = {}
    for name, own in maps.items():
        if unknown := [known for known in whole.names if known not in own.names]:
            say(f"Delivery {name} has no class {', '.join(unknown)}: its images may show what they do not label so.")
        ids = {number: whole.names.index(known) for number, known in enumerate(own.names)}
        num_labels = whole.num_classes if whole.task == "multilabel" else None
        masks[name] = _gather_shards(ingested / name, name, ids, num_labels, out)
    if len(names) > 1:
        _merge_manifests(ingested, maps, masks, whole, out / MANIFEST)
    return whole


def merge_class_maps(maps: Mapping[str, ClassMap]) -> ClassMap:
    """Merges class maps: ids that are known stay, and new classes follow in the order in which they come.

    A class keeps the value and colour of the delivery that brought it, so a prediction is written in its values.

    Args:
        maps: Class map of each delivery by name; the first is the one that the others are added to.

    Raises:
        GraftError: A delivery has another task or other channels than the first, or a value stands for another class.
    """
    (first, whole), *others = maps.items()
    for name, own in others:
        problems = [*_other_kind(first, whole, own), *_renamed(whole, own)]
        if problems:
            raise GraftError.of_all(
                f"ingest.deliveries.{name}: a delivery that does not go together with those before it",
                problems,
                remedy=f"correct ingest.deliveries.{name}, or take it out",
            )
        whole = _add(whole, own)
    return whole


def renumber(row: Row, ids: Ids, num_labels: int | None = None) -> Row | None:
    """The row with other class ids; a pixel whose class has none is ignored, an image whose label has none is None.

    Args:
        row: Row in the old ids.
        ids: Old to new ids.
        num_labels: Number of classes of the whole, K, where the target is a byte a class; None where it is no such.
    """
    if row.label is not None:
        return replace(row, label=ids[row.label]) if row.label in ids else None
    if row.mask is None:
        return row
    if num_labels is not None:
        labels = np.zeros(num_labels, np.uint8)
        labels[list(ids.values())] = np.frombuffer(row.mask, np.uint8)[list(ids)]
        return replace(row, mask=labels.tobytes(), mask_sha256=hashlib.sha256(labels.tobytes()).hexdigest())
    table = np.full(IGNORE_INDEX + 1, IGNORE_INDEX, np.uint8)
    table[list(ids)] = list(ids.values())
    mask = encode_png(table[decode_mask(row.mask, where=row.id)])
    return replace(row, mask=mask, mask_sha256=hashlib.sha256(mask).hexdigest())


def _other_kind(first: str, whole: ClassMap, own: ClassMap) -> Iterator[str]:
    """A sentence for each thing that makes the images or targets of a delivery unlike those of the first."""
    if own.task != whole.task:
        yield f"it is for {own.task}, and {first} for {whole.task}"
    if own.channels != whole.channels:
        yield f"its images have the channels {', '.join(own.channels)}; those of {first} {', '.join(whole.channels)}"
    if own.max_value != whole.max_value:
        yield f"its max_value is {own.max_value}, that of {first} {whole.max_value}"


def _renamed(whole: ClassMap, own: ClassMap) -> Iterator[str]:
    """Values of a mask that would stand for two classes: one was renamed, or the masks follow other conventions."""
    if own.task != "segmentation":
        return
    known = {
        value: name for name, values in zip(whole.names, whole.source_values, strict=True) for value in _each(values)
    }
    for name, values in zip(own.names, own.source_values, strict=True):
        for value in _each(values):
            if known.get(value, name) != name:
                yield (
                    f"{value} stands for {name}, and for {known[value]} in the deliveries before: name the class "
                    f"{known[value]} here too, or map the classes with the source `joined`"
                )
                break


def _each(values: Any) -> Iterator[Any]:
    """The values of a class one by one, a range as all it holds; `rest` is no value."""
    for value in values if isinstance(values, tuple) else (values,):
        begin, _, end = str(value).partition("-")
        if isinstance(value, str) and begin.strip().isdigit():
            yield from range(int(begin), int(end or begin) + 1)
        elif value != "rest":
            yield value


def _add(whole: ClassMap, own: ClassMap) -> ClassMap:
    """The class map with the classes of another at its end that it lacks."""
    new = [number for number, name in enumerate(own.names) if name not in whole.names]
    void = dict.fromkeys((*whole.void_values, *own.void_values))
    values = (*whole.source_values, *(own.source_values[number] for number in new))
    used = {value for each in values for value in _each(each)}
    return replace(
        whole,
        names=(*whole.names, *(own.names[number] for number in new)),
        colors=(*whole.colors, *(own.colors[number] for number in new)),
        source_values=values,
        official_splits=whole.official_splits or own.official_splits,
        synthetic=whole.synthetic or own.synthetic,
        void_values=tuple(value for value in void if value not in used),
        source=_both(whole.source, own.source),
        licence=_both(whole.licence, own.licence),
    )


def _both(known: str, other: str) -> str:
    return known if other in known.split("; ") else f"{known}; {other}"


def _gather_shards(folder: Path, name: str, ids: Ids, num_labels: int | None, out: Path) -> dict[str, str]:
    """Links or rewrites the shards of a delivery; returns the new sha256 of each mask by the id of its image.

    Rows of labels, a byte for each of `num_labels` classes, are written again as well where classes were added.
    """
    shards = sorted(folder.glob("*/*.parquet"))
    if all(number == other for number, other in ids.items()) and num_labels in (None, len(ids)):
        for shard in shards:
            _link(shard, out / shard.parent.name / shard.name)
        return {}
    written: dict[str, str] = {}
    writer = ShardWriter(out, name)
    for split in dict.fromkeys(shard.parent for shard in shards):
        for row in read_rows(split):
            other = renumber(row, ids, num_labels)
            assert other is not None, "every class of a delivery is one of the whole"
            writer.add(asdict(other))
            if other.mask_sha256 is not None:
                written[row.id] = other.mask_sha256
        if not num_rows(split):
            writer.leave_empty(split.name)
    writer.close()
    return written


def _merge_manifests(
    ingested: Path, maps: Collection[str], masks: Mapping[str, Mapping[str, str]], whole: ClassMap, path: Path
) -> None:
    """Writes the rows of every manifest, in the ids of the whole."""
    merged = TableWriter(path, MANIFEST_SCHEMA)
    for name in maps:
        own = ClassMap.read(ingested / name / CLASS_MAP).names
        ids = [whole.names.index(known) for known in own]
        for row in pq.read_table(ingested / name / MANIFEST).to_pylist():
            row["mask_sha256"] = masks[name].get(row["id"], row["mask_sha256"])
            row["label"] = None if row["label"] is None else ids[row["label"]]
            if row["mask_counts"] is not None:
                counts = dict(zip(ids, row["mask_counts"], strict=True))
                row["mask_counts"] = [counts.get(number, 0) for number in range(whole.num_classes)]
            merged.add(row)
    merged.close()


def _link(source: Path, target: Path) -> None:
    """Gives a file a second name, or copies it where the disk has no hard links; a file that is absent is left out."""
    if not source.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)  # DVC may have put a symbolic link there
    except OSError:
        shutil.copyfile(source, target)
