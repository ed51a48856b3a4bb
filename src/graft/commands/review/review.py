"""The images whose labels models contradict, the most doubtful first; what is shown of them, and what is left out."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax

from graft.commands.review.contradictions import Contradiction, SelfConfidence, contradict, disbelief, regions_of
from graft.commands.review.judges import Judge, left_out_by
from graft.data.images.codec import decode_mask, decode_target, encode_png
from graft.data.images.stacks import composite, decode
from graft.data.shards import Row, read_rows
from graft.evaluation.report.examples import Picture, show
from graft.foundation.class_map import ClassMap, ignored_target
from graft.foundation.content import content_seed, replace_file
from graft.foundation.counted import counted
from graft.foundation.errors import GraftError
from graft.foundation.progress import progress, say, warn
from graft.inference.image_to_logits import predict_logits
from graft.inference.torch_runner import torch_runner
from graft.models.saved_model import load_model
from graft.params.sections import Params
from graft.params.yaml_tree import changed_lines, put_value, read_tree, write_tree
from graft.provenance.stages import INTERIM

MOST_FOR_THRESHOLDS = 500  # images of a model that say how sure it is of each class
COLUMNS = (
    *("rank", "image", "split", "delivery", "disbelief", "share", "label", "suggestion", "evidence"),
    *("left", "top", "width", "height", "pixels"),
)


@dataclass(frozen=True)
class Doubt:
    """An image whose label a model contradicts.

    Attributes:
        id: Id of the image.
        split: Its split.
        delivery: Delivery that it came with.
        number: Number of its row.
        disbelief: How little the model believes the label.
        share: Share of the labelled pixels that are contradicted; 1 for an image with one label.
        regions: Contradicted regions, the one with most evidence first.
        suggested: The suggested classes of a mask as an index PNG, 255 where it may stand; empty of one label.
    """

    id: str
    split: str
    delivery: str
    number: int
    disbelief: float
    share: float
    regions: tuple[Contradiction, ...]
    suggested: bytes


@dataclass(frozen=True)
class ShownDoubt:
    """A doubt with its pictures, for the page."""

    doubt: Doubt
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Review:
    """All doubts of a review, the most doubtful first.

    Attributes:
        doubts: Images whose labels are contradicted.
        num_images: Number of images that were judged.
    """

    doubts: Sequence[Doubt]
    num_images: int

    def __str__(self) -> str:
        if not self.doubts:
            return f"of {self.num_images} images none has a label that a model which never saw it contradicts"
        return (
            f"{len(self.doubts)} of {self.num_images} labels are contradicted somewhere by a model that never saw "
            "them, the most doubtful first; a tenth of them is worth a look"
        )


def review(judges: Iterable[Judge], classes: ClassMap, device: torch.device | str) -> Review:
    """Lets every model judge its images.

    Args:
        judges: Models and their images.
        classes: Class map of the labels.
        device: Device that the models run on.

    Raises:
        GraftError: A model has another task, or knows other classes or channels.
    """
    doubts: list[Doubt] = []
    num_images = 0
    for judge in judges:
        opened = OpenedJudge(judge, classes, device)
        thresholds = opened.thresholds()
        looked = progress(opened.look(judge.images), "Judging labels", total=opened.num_images, unit="image")
        for row, number, label, probabilities in looked:
            suggested = contradict(probabilities, label, thresholds)
            regions = sorted(regions_of(probabilities, label, suggested), key=lambda region: -region.evidence)
            if regions:
                labelled = np.count_nonzero(label != ignored_target(len(classes.names)))
                share = sum(region.num_pixels for region in regions) / labelled
                place = row.id, row.split, row.batch, number
                believed = disbelief(probabilities, label)
                picture = encode_png(suggested.astype(np.uint8)) if classes.task == "segmentation" else b""
                doubts.append(Doubt(*place, believed, share, tuple(regions), picture))
        num_images += opened.num_images
    ranked = sorted(doubts, key=lambda doubt: (-doubt.disbelief, doubt.id))
    return Review(ranked, num_images)


class OpenedJudge:
    """A judge whose model is open.

    Args:
        judge: The model and its images.
        classes: Class map of the labels.
        device: Device that the model runs on.

    Raises:
        GraftError: The model has another task, or knows other classes or channels.
    """

    def __init__(self, judge: Judge, classes: ClassMap, device: torch.device | str) -> None:
        model, self._spec = load_model(judge.folder, weights=judge.weights)
        found = _kind(self._spec.task, self._spec.class_names, self._spec.channels)
        if (wanted := _kind(classes.task, classes.names, classes.channels)) != found:
            raise GraftError(
                f"the model is for {found}",
                where=judge.folder,
                rule=f"labels are judged by a model for the same: {wanted}",
                remedy="leave --model out: then parts of the data judge each other",
            )
        if judge.unlearnt:
            names = ", ".join(classes.names[number] for number in judge.unlearnt)
            warn(f"a part is judged by a model that learnt no label of {names}: it judges none either")
        self._judge, self._classes = judge, classes
        self._run = torch_runner(model, self._spec, device=device)
        self.num_images = sum(len(numbers) for numbers in judge.images.values())

    def look(self, images: Mapping[str, Set[int]]) -> Iterator[tuple[Row, int, np.ndarray, np.ndarray]]:
        """Yields rows with their number, label [H, W] and probabilities float32 [K, H, W]; 1×1 for one label.

        Args:
            images: Numbers of the rows, by split.
        """
        for split, numbers in images.items():
            if numbers:
                for number, row in zip(sorted(numbers), read_rows(Path(INTERIM, split), numbers), strict=True):
                    yield row, number, *self._judged(row)

    def thresholds(self) -> np.ndarray:
        """The mean confidence in each class, float64 [K], over its images, or `MOST_FOR_THRESHOLDS` of them."""
        known = [(split, number) for split, numbers in self._judge.images.items() for number in numbers]
        drawn = sorted(known, key=lambda place: content_seed(0, "threshold", *place))[:MOST_FOR_THRESHOLDS]
        images = {split: frozenset(number for other, number in drawn if other == split) for split, _ in drawn}
        confidence = SelfConfidence(len(self._classes.names))
        for _, _, label, probabilities in progress(
            self.look(images), "Finding out how sure the model is", total=len(drawn), unit="image"
        ):
            confidence.add(probabilities, label)
        return confidence.thresholds()

    def _judged(self, row: Row) -> tuple[np.ndarray, np.ndarray]:
        image = decode(row.image, self._classes, where=row.id)
        logits = predict_logits(self._run, image, self._spec, self._judge.tiling)
        label = decode_target(row, self._classes.task)
        label = np.where(np.isin(label, list(self._judge.unlearnt)), ignored_target(len(logits)), label)
        if label.ndim == 0:  # one label is a mask of one pixel
            label, logits = label.reshape(1, 1), logits[:, None, None]
        return label, softmax(logits, axis=0)


def _kind(task: str, names: Sequence[str], channels: Sequence[str]) -> str:
    return f"{task} of {', '.join(names)} in {', '.join(channels)}"


def show_doubts(found: Review, classes: ClassMap, most: int) -> Iterator[ShownDoubt]:
    """Yields the first doubts with an image, its label, and the classes suggested where that is contradicted.

    Args:
        found: The review.
        classes: Class map of the labels.
        most: Largest number of doubts.
    """
    for doubt in progress(found.doubts[:most], "Drawing", unit="image"):
        (row,) = read_rows(Path(INTERIM, doubt.split), {doubt.number})
        image = composite(decode(row.image, classes, where=row.id), classes.channels)
        label = decode_target(row, classes.task)
        masks = {} if label.ndim == 0 else {"label": label, "contradicted": decode_mask(doubt.suggested)}
        yield ShownDoubt(doubt, show(image, masks, classes.colors))


def write_table(path: Path, doubts: Sequence[Doubt], names: Sequence[str]) -> None:
    """Writes a line for each contradicted region, the images in their order.

    Args:
        path: The csv file.
        doubts: Images whose labels are contradicted.
        names: The K classes.
    """
    with replace_file(path) as pending, pending.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for rank, doubt in enumerate(doubts, 1):
            place = (rank, doubt.id, doubt.split, doubt.delivery, f"{doubt.disbelief:.3f}", f"{doubt.share:.4f}")
            for region in doubt.regions:
                classes = names[region.given], names[region.suggested], f"{region.evidence:.1f}"
                box = region.left, region.top, region.width, region.height, region.num_pixels
                writer.writerow([*place, *classes, *box])


def leave_out(found: Review, params: Params, path: Path, most: int) -> list[str]:
    """Writes the first doubtful training images into `augment.memory` of a params file, beside those that are there.

    Those that are left out already are judged like all others, and count.

    Args:
        found: The review.
        params: Params of the file.
        path: The params file.
        most: Largest number of images.

    Returns:
        The lines of the file that changed, as `diff` shows them.
    """
    named = [doubt.id for doubt in found.doubts if doubt.split == "train"][:most]
    if len(named) < most:
        say(f"no more than {counted(len(named), 'training image')} can be left out: other labels are not contradicted")
    if not named:
        return []
    tree = read_tree(path)
    put_value(tree["augment"], "memory", {"name": "without", "images": sorted({*left_out_by(params), *named})})
    if not (lines := changed_lines(path, tree)):
        say(f"{path} leaves these out already")
    write_tree(path, tree)
    return lines
