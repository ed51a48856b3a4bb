"""The rules that stop the pipeline: what would make every later number wrong."""

from __future__ import annotations

from graft.data.expectations.manifest import REQUIRED_COLUMNS
from graft.data.expectations.mask_rules import OWN_CLASSES, mask_rules
from graft.data.expectations.rules import Rule, absent
from graft.foundation.class_map import SPLITS, ClassMap

ONE_SIDE = "keep one copy, in one split; where the source writes lists, correct them"


# How a class that train never shows is left out: what each source can be told.
WAYS_OUT = {
    "scenes": "draw more: raise num_train of ingest.source",
    "coco": "leave it out of categories in ingest.source",
    "image_folder": "set the folder of the class aside",
    "joined": "map it to null or to another class in ingest.source",
}


def structure_rules() -> list[Rule]:
    """The two rules that come first: a missing column or no row at all would let the others pass or break."""
    return [
        Rule(
            "columns_present", "critical", "images", "", "columns", {"column_set": list(REQUIRED_COLUMNS)},
            "the manifest has every column",
            "each rule below reads a column of it; without one nothing can be said about the images",
            "the manifest was changed by hand or by an older version: run dvc repro --force ingest",
        ),
        Rule(
            "rows_present", "critical", "images", "", "num_rows", {"min_value": 1},
            "the manifest has a row per image, at least one",
            "an empty table satisfies every other rule",
            "check ingest.root and the patterns of ingest.source in params.yaml",
        ),
    ]  # fmt: skip


def row_rules() -> list[Rule]:
    """The rules about ids, the split of an image, and its bands."""
    return [
        Rule(
            "ids_unique", "critical", "images", "id", "unique", {},
            "every id names one image", "predictions, reports and allow-lists speak of images by id",
            "rename one of the files, or narrow the patterns of ingest.source",
        ),
        Rule(
            "splits_known", "critical", "images", "split", "one_of", {"value_set": list(SPLITS)},
            f"the split of every image is one of {', '.join(SPLITS)}", "an image in no split is used by no stage",
            "correct the lists or the folder names of the source",
        ),
        absent(
            "critical", "bands_are_colours", "picture_band", "a band beside the colours of an image is transparency",
            "images are laid on white by it, or it is dropped: a band of near infrared spoils the colours or is lost",
            "read such images by the source stacks, which names every band (channels: [red, green, blue, nir]);"
            " or drop the band, if it holds nothing to learn from",
        ),
    ]  # fmt: skip


def split_rules(task: str, scored: str) -> list[Rule]:
    """The rules about the splits without which no training has a result; `scored` is `evaluate.split`."""
    label = "labelled pixel" if task == "segmentation" else "labelled image"
    judged = "val" if scored == "val" else f"val and {scored}"
    return [
        Rule(
            "splits_filled", "critical", "splits", "num_images", "between", {"min_value": 1},
            f"train, val and the split that is scored (evaluate.split: {scored}) hold at least one image each",
            "without train there is nothing to learn from, without val no epoch can be chosen, and a model that is "
            "scored on nothing can be neither judged nor exported",
            "give the source more images or larger split fractions, tell it where the split lies (splits in "
            "ingest.source), or set evaluate.split to one that has images",
        ),
        Rule(
            "splits_labelled", "critical", "splits", "num_labelled", "between", {"min_value": 1},
            f"{judged} hold{'s' * (judged == 'val')} at least one {label}",
            f"the best epoch is chosen on val and the model is judged on {scored}: where every {label} is ignored, "
            "each score is 0 and means nothing",
            "annotate images of that split, or move annotated ones there; if the masks are annotated, look at which of "
            "their values void names",
        ),
    ]  # fmt: skip


def label_rules(class_map: ClassMap) -> list[Rule]:
    """The rules about masks and labels."""
    segmentation = class_map.task == "segmentation"
    kind = "mask" if segmentation else "label"
    amount = "labelled pixel" if segmentation else "image"
    shared = [
        absent(
            "critical", "labels_present", "label_problem", f"every image of train, val and test has a {kind}",
            f"an image without a {kind} teaches nothing and cannot be scored",
            f"add the {kind}, or move the image to the unlabelled split",
        ),
        Rule(
            "classes_in_train", "critical", "classes", "train_amount", "between", {"min_value": 1},
            f"every class has at least one {amount} in train", "a class that was never shown is never predicted",
            f"move images of the class into train, or {_way_out(class_map)}",
        ),
    ]  # fmt: skip
    known = {"segmentation": mask_rules, "classification": _known_labels}
    return shared + (known[class_map.task](class_map) if class_map.task in known else [])


def _way_out(class_map: ClassMap) -> str:
    if class_map.source in OWN_CLASSES:
        segments = class_map.task == "segmentation"
        return "take it out of the classes of ingest.source" if segments else "set its images aside"
    return WAYS_OUT.get(class_map.source, "map it to null or to another class with ingest.source: {name: joined, …}")


def leak_rules(class_map: ClassMap) -> list[Rule]:
    """The rules about images that stand on both sides of a split."""
    official = class_map.official_splits
    return [
        absent(
            "critical", "exact_duplicates_across_splits", "copy_in_other_split",
            "no image stands in two splits, byte for byte",
            "a score on an image that was learnt by heart says nothing about new images", ONE_SIDE,
        ),
        absent(
            "warning" if official else "critical", "groups_across_splits", "group_in_other_split",
            "images of one group (a clip, a place, a patient) stand in one split",
            "images of one group resemble each other, so scores come out higher than on new groups"
            + ("; the source's own lists do this, so results stay comparable with others'" if official else ""),
            "quote scores as the source's protocol, or split by group yourself" if official
            else "split by group: put all images of the group into one split",
        ),
    ]  # fmt: skip


def _known_labels(class_map: ClassMap) -> list[Rule]:
    last = class_map.num_classes - 1
    return [Rule(
        "labels_known", "critical", "images", "label", "between", {"min_value": 0, "max_value": last},
        f"every label is a class ({', '.join(class_map.names)})", "a label outside the class map has no meaning",
        "name the class in the source, or correct the label",
    )]  # fmt: skip
