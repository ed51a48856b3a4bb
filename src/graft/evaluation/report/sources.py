"""The sources of the numbers: the files that evaluate read, each with its digest."""

from __future__ import annotations

import os
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from graft.foundation.content import sha256_of
from graft.foundation.errors import GraftError

NUM_IDS_SHOWN = 5


def input_files(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """`file`, `sha256` and `num_bytes` of each file, those of folders in order of name.

    Names start below the folder that holds all of `paths`, so that they are the same wherever the checkout lies.
    """
    root = Path(os.path.commonpath([path.absolute() for path in paths]))
    rows = []
    for path in paths:
        files = sorted(item for item in path.rglob("*") if item.is_file()) if path.is_dir() else [path]
        for file in files:
            name = file.absolute().relative_to(root).as_posix()
            rows.append({"file": name, "sha256": sha256_of(file), "num_bytes": file.stat().st_size})
    return rows


def refuse_seen(folder: Path, seen: Set[str], split: str) -> list[str]:
    """The sha256 of each image of a split, without decoding any.

    Args:
        folder: The shards of the split.
        seen: sha256 of every image the model was trained on.
        split: Its name, for messages.

    Raises:
        GraftError: A shard is damaged, the split is empty, or one of its images was trained on.
    """
    digests: list[str] = []
    known: list[str] = []
    for file in sorted(folder.glob("*.parquet")):
        try:
            ids = pq.read_table(file, columns=["id", "image_sha256"]).to_pydict()
        except (OSError, pa.ArrowInvalid, KeyError) as error:
            raise GraftError(
                f"damaged shard ({error})", where=file, remedy="remove the folder and run dvc repro"
            ) from None
        digests += ids["image_sha256"]
        known += [name for name, digest in zip(ids["id"], ids["image_sha256"], strict=True) if digest in seen]
    if not digests:
        raise GraftError(
            f"the {split} split has no images",
            where="evaluate.split",
            rule="scores need labelled images",
            remedy="set evaluate.split: val, or give the source test images",
        )
    if known:
        more = f" and {len(known) - NUM_IDS_SHOWN} more" if len(known) > NUM_IDS_SHOWN else ""
        raise GraftError(
            f"{len(known)} {split} images were seen in training: {', '.join(known[:NUM_IDS_SHOWN])}{more}",
            rule="a model is scored on images it was not trained on",
            remedy="remove the duplicates from one of the splits and run dvc repro",
        )
    return digests
