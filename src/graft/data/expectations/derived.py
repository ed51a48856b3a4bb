"""Facts derived from the manifest, vectorised: one column for each question a rule asks of a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from graft.data.expectations.mask_findings import in_words, mask_findings
from graft.data.expectations.near_duplicates import near_partners, parse_hashes
from graft.foundation.class_map import TARGET_COLUMN, TARGET_WORD, UNLABELLED, ClassMap
from graft.foundation.errors import GraftError

if TYPE_CHECKING:
    from graft.params.sections import Validate

ALPHA_MODES = ("LA", "La", "RGBA", "RGBa")
PALETTE_MODES = ("P", "PA")
PLAIN_MODES = ("L", "RGB")
STACK_MODE = "stack"
SCORED_SPLITS = ("val", "test")


def image_facts(manifest: pd.DataFrame, task: str, validate: Validate) -> pd.DataFrame:
    """The manifest with a column for each derived fact.

    A fact whose column holds text is a finding in words, null where there is nothing to find; the others are numbers.

    Raises:
        GraftError: A perceptual hash of the manifest cannot be read.
    """
    rows = manifest.reset_index(drop=True)
    side = rows["split"].replace(UNLABELLED, "train")  # of the split: what a model learns from, or is judged on
    sha256, group = rows["image_sha256"], rows["group"].replace("", None)
    target = rows[TARGET_COLUMN[task]]
    facts = {
        "label_problem": _label_problem(rows, task),
        **mask_findings(rows),
        "copy_in_other_split": "same bytes as " + partner(rows, sha256, side),
        "copy_in_same_split": "same bytes as " + _copy_in_same_split(rows, side),
        "group_in_other_split": "group " + group + " also holds " + partner(rows, group, side),
        "copy_with_other_label": "same bytes, another label than " + partner(rows, sha256, target),
        "near_copy_in_other_split": "resembles " + _near_copies(rows, side, validate.near_duplicate_bits),
        "shorter_side_px": rows[["width", "height"]].min(axis=1),
        "aspect": rows[["width", "height"]].max(axis=1) / rows[["width", "height"]].min(axis=1),
        "void_fraction": rows["mask_void"] / (rows["mask_width"] * rows["mask_height"]),
        "conversion": _conversion(rows),
        "picture_band": in_words(rows, rows["further_band_is_picture"].eq(True), _of_bands),
    }
    return rows.assign(**{name: _nullable(column) for name, column in facts.items()})


def partner(rows: pd.DataFrame, key: pd.Series, differs_in: pd.Series) -> pd.Series:
    """For each row the first row with the same `key` and another value of `differs_in`, in words; null without one."""
    known = rows.assign(key=key, differs_in=differs_in)[key.notna() & differs_in.notna()]
    known = known[known["key"].duplicated(keep=False)]
    first_value = known.groupby("key")["differs_in"].transform("first")
    named = known["id"] + " (" + known["split"] + ")"
    first = named.groupby(known["key"]).transform("first")
    elsewhere = known["differs_in"] != first_value
    others = named[elsewhere].groupby(known["key"][elsewhere]).first()
    found = first.where(elsewhere, known["key"].map(others))
    return found.reindex(rows.index).astype("str")  # where nothing is found pandas makes it a column of objects


def split_table(rows: pd.DataFrame, class_map: ClassMap, scored: str) -> pd.DataFrame:
    """A row per split that must hold images, train, val and `scored`: `id` (its name), `num_images`, `num_labelled`.

    The last is the number of labelled pixels, or images; null for train, whose classes have a rule of their own, and
    for a split without images.
    """
    splits, counts = [*dict.fromkeys(("train", "val", scored))], rows["split"].value_counts()
    labelled = {split: int(_amounts(rows[rows["split"] == split], class_map).sum()) for split in splits}
    return pd.DataFrame(
        {
            "id": splits,
            "num_images": [int(counts.get(split, 0)) for split in splits],
            "num_labelled": [labelled[s] if counts.get(s) and s != "train" else np.nan for s in splits],
        }
    )


def class_table(rows: pd.DataFrame, class_map: ClassMap) -> pd.DataFrame:
    """A row per class: `id` (its name), `train_amount` (labelled training pixels, or images), `train_fraction`, and
    `absent_from`, the splits to be scored that have images and none of the class, in words.

    The fraction is null for a class that is absent from train: that has a rule of its own.

    Raises:
        GraftError: The manifest counts the pixels of another number of classes than the class map has.
    """
    amounts = {split: _amounts(rows[rows["split"] == split], class_map) for split in ("train", *SCORED_SPLITS)}
    train, filled = amounts["train"], [split for split in SCORED_SPLITS if (rows["split"] == split).any()]
    absent = [[split for split in filled if not amounts[split][number]] for number in range(class_map.num_classes)]
    has_labels = class_map.task == "multilabel"
    whole = int((rows["split"] == "train").sum() if has_labels else train.sum())
    named = [f"not in {' and '.join(splits)}" if splits else None for splits in absent]
    return pd.DataFrame(
        {
            "id": list(class_map.names),
            "train_amount": train,
            "train_fraction": np.where(train > 0, train / max(whole, 1), np.nan),
            "absent_from": pd.Series(named, dtype=object),
        }
    )


def _amounts(rows: pd.DataFrame, class_map: ClassMap) -> np.ndarray:
    """Labelled pixels, or images, of each class."""
    if class_map.task == "classification":
        labels = rows["label"].dropna().astype(int)
        return np.bincount(labels[labels.between(0, class_map.num_classes - 1)], minlength=class_map.num_classes)
    counts = [np.asarray(count) for count in rows["mask_counts"].dropna()]
    if any(len(count) != class_map.num_classes for count in counts):
        raise GraftError(
            f"the manifest does not count the pixels of {class_map.num_classes} classes, which the class map has",
            remedy="both come from ingest: run dvc repro",
        )
    return np.asarray(np.sum([np.zeros(class_map.num_classes, np.int64), *counts], axis=0, dtype=np.int64))


def _nullable(column: pd.Series) -> pd.Series:
    return column.astype(object).where(column.notna(), None) if column.dtype == object else column


def _label_problem(rows: pd.DataFrame, task: str) -> pd.Series:
    missing = rows[TARGET_COLUMN[task]].isna()
    needed = rows["split"] != UNLABELLED
    what = f"no {TARGET_WORD[task]}"
    return pd.Series(np.where(missing & needed, what, None), rows.index)  # type: ignore[call-overload]  # None will do


def _copy_in_same_split(rows: pd.DataFrame, side: pd.Series) -> pd.Series:
    keys = [side, rows["image_sha256"]]
    later = pd.DataFrame({"side": side, "sha256": rows["image_sha256"]}).duplicated(keep="first")
    return rows["id"].groupby(keys).transform("first").where(later, None)


def _near_copies(rows: pd.DataFrame, side: pd.Series, max_bits: int) -> pd.Series:
    try:
        hashes = parse_hashes(rows["phash"].tolist())
    except (TypeError, ValueError) as error:
        raise GraftError(
            f"column 'phash' of the manifest: {error}", remedy="remove the manifest and run dvc repro"
        ) from None
    splits, contents = pd.factorize(side)[0], pd.factorize(rows["image_sha256"])[0]
    partners = near_partners(hashes, splits, contents, max_bits)
    named = (rows["id"] + " (" + rows["split"] + ")").to_numpy(dtype=object)
    return pd.Series(np.where(partners >= 0, named[partners] if len(named) else None, None), rows.index, dtype=object)


def _conversion(rows: pd.DataFrame) -> pd.Series:
    odd = ~rows["mode"].isin(PLAIN_MODES) | (rows["bit_depth"] > 8) | (rows["exif_orientation"] > 1)
    odd &= rows["mode"] != STACK_MODE  # whose conversion the source declares
    return in_words(rows, odd, _what_is_converted)


def _what_is_converted(row: Any) -> str:
    found = []
    if row.bit_depth > 8:
        found.append(f"{row.bit_depth} bit (mode {row.mode})")
    elif row.mode in PALETTE_MODES:
        found.append(f"palette (mode {row.mode})")
    elif row.mode in ALPHA_MODES:
        found.append(f"alpha (mode {row.mode})")
    elif row.mode not in PLAIN_MODES:
        found.append(f"mode {row.mode}")
    if row.exif_orientation > 1:
        found.append(f"EXIF orientation {row.exif_orientation}")
    return ", ".join(found)


def _of_bands(row: Any) -> str:
    return (
        f"a {row.format} whose band beside the colours varies as a picture does (mode {row.mode}, {row.bit_depth} bit)"
    )
