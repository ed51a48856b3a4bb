"""The rules that warn: what a person should look at, and may well accept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from graft.data.expectations.rules import Rule, absent

if TYPE_CHECKING:
    from graft.params.sections import Validate


def duplicate_rules(task: str, validate: Validate) -> list[Rule]:
    """The rules about images that resemble each other."""
    kind = "mask" if task == "segmentation" else "label"
    return [
        absent(
            "warning", "conflicting_labels", "copy_with_other_label", f"equal images have equal {kind}s",
            f"the same image with two {kind}s cannot be learnt, and one of them is wrong",
            f"decide which {kind} is right and remove the other copy",
        ),
        absent(
            "warning", "near_duplicates", "near_copy_in_other_split",
            f"no image resembles one in another split (perceptual hashes at most {validate.near_duplicate_bits} of 64"
            " bits apart)",
            "a score on an image that was nearly seen in training flatters the model",
            "look at the pairs; put both into one split, or allow them with the reason",
        ),
        absent(
            "warning", "exact_duplicates_within_split", "copy_in_same_split",
            "no image stands twice in one split, byte for byte",
            "a copy counts double in training and in scores", "remove the copy",
        ),
    ]  # fmt: skip


def exposure_rules(validate: Validate) -> list[Rule]:
    """The rules about size and light."""
    return [
        Rule(
            "tiny_images", "warning", "images", "shorter_side_px", "between", {"min_value": validate.min_side_px},
            f"the shorter side of an image is at least {validate.min_side_px} px",
            "a thumbnail holds too little detail and is mostly padding in training",
            "fetch the original, or remove the image",
        ),
        Rule(
            "extreme_aspect", "warning", "images", "aspect", "between", {"max_value": validate.max_aspect},
            f"the longer side of an image is at most {validate.max_aspect:g} times the shorter",
            "strips are cropped to a small part or mostly padded", "crop the image to its content, or remove it",
        ),
        Rule(
            "dark_images", "warning", "images", "mean_luminance", "between", {"min_value": validate.min_luminance},
            f"the mean luminance is at least {validate.min_luminance:g} of 255",
            "an almost black image is often a failed exposure or a blank frame", "look at it; remove a blank frame",
        ),
        Rule(
            "bright_images", "warning", "images", "mean_luminance", "between", {"max_value": validate.max_luminance},
            f"the mean luminance is at most {validate.max_luminance:g} of 255",
            "an almost white image is often a placeholder for a missing photograph",
            "look at it; remove a placeholder",
        ),
    ]  # fmt: skip


def balance_rules(task: str, validate: Validate) -> list[Rule]:
    """The rules about how much there is of each class."""
    what = "labelled training pixels" if task == "segmentation" else "labelled training images"
    fraction = validate.min_class_fraction
    loss = "asymmetric" if task == "multilabel" else "dice"
    balance = Rule(
        "class_imbalance", "warning", "classes", "train_fraction", "between", {"min_value": fraction},
        f"every class has at least {fraction:.4g} of the {what}",
        "a very rare class is hardly learnt and its score hangs on a few examples",
        f"add images of the class, or weigh it: fine_tune.class_weights, or {loss} in fine_tune.losses",
    )  # fmt: skip
    scored = Rule(
        "classes_scored", "warning", "classes", "absent_from", "absent", {},
        "every class is shown in val, and in test where there is one",
        "a class that a split never shows has no score there: the mean leaves it out, whatever the model does",
        "move images of the class there, or read the scores of that split knowing it",
    )  # fmt: skip
    void = Rule(
        "void_masks", "warning", "images", "void_fraction", "between", {"max_value": validate.max_void_fraction},
        f"at most {validate.max_void_fraction:g} of a mask is ignored",
        "an image that is almost all void teaches little, often because its annotation is unfinished",
        "finish the annotation, or remove the image",
    )  # fmt: skip
    return [balance, scored, void, *instance_rules()] if task == "segmentation" else [balance, scored]


def instance_rules() -> list[Rule]:
    """The rules about masks that number instances where classes are wanted."""
    remedy = (
        "look at some masks: a file of class ids lies beside instance masks as a rule (SegmentationClass, labelIds,"
        " the JSON of panoptic masks); point masks in ingest.source at those"
    )
    return [
        absent(
            "warning", "instances_as_classes", "instances", "the ids of masks are classes, no running numbers",
            "ids that count 1, 2, 3 in every mask look like instances: the third object is no class", remedy,
        ),
        absent(
            "warning", "rest_of_few_values", "many_rest_values", "few values of a mask fall to the class rest",
            "blurred edges, and colours that tell instances apart, become the rest without being named",
            remedy + "; or name the values, so that rest takes what you expect",
        ),
    ]  # fmt: skip


def file_rules(rows: pd.DataFrame) -> list[Rule]:
    """The rules about how the image files are stored; the commonest format of `rows` is the one to keep to."""
    counts = rows["format"].value_counts()
    commonest = min(counts.index, key=lambda name: (-counts[name], name))
    return [
        absent(
            "warning", "odd_modes", "conversion", "images are 8-bit RGB or grey, upright, without palette or alpha",
            "they are converted on reading (palette and alpha to RGB, 16 bit to 8, turned by EXIF), which loses what"
            " was stored and may not fit the mask",
            "look at how they came out; convert them yourself where it matters",
        ),
        Rule(
            "differing_formats", "warning", "images", "format", "one_of", {"value_set": [commonest]},
            f"images are stored as most of them are ({commonest})",
            "a stray format is often a placeholder or comes from elsewhere, and its artefacts can give a class away",
            "look at them; replace placeholders, and convert the others from their originals",
        ),
    ]  # fmt: skip
