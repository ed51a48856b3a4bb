"""Candidate and champion compared on one HTML page: what changed, how surely, and the images that lost most."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from graft.data.images.stacks import composite
from graft.evaluation.report.examples import Picture, name_labels, show
from graft.evaluation.report.report_page import WORDS, open_templates
from graft.evaluation.scores import ScoredImage
from graft.foundation.class_map import ClassMap
from graft.foundation.content import replace_file
from graft.metrics.bootstrap import LEVEL_PERCENT
from graft.models.address import CANDIDATE, CHAMPION
from graft.models.saved_model import MODEL_COLOURS

if TYPE_CHECKING:
    from graft.provenance.promotion.evidence import GateEvidence

PAGE = Path("reports/comparison.html")
NUM_KEPT = 8


@dataclass(frozen=True)
class Regression:
    """An image on which the candidate scores less than the champion.

    Attributes:
        scored: The image with the predictions of both.
        before: Score of the champion on this image.
        after: Score of the candidate.
    """

    scored: ScoredImage
    before: float
    after: float

    @property
    def loss(self) -> float:
        """The champion's score less the candidate's."""
        return self.before - self.after


@dataclass
class Regressions:
    """Keeps the images that lost most, while a test set streams by."""

    kept: list[Regression] = field(default_factory=list)

    def offer(self, scored: ScoredImage) -> None:
        """Keeps the image if it is among those that lost most so far; where there is no champion nothing is lost."""
        if CHAMPION not in scored.predictions:
            return
        found = Regression(scored, *(scored.predictions[name].score for name in (CHAMPION, CANDIDATE)))
        if math.isnan(found.loss) or found.loss <= 0:
            return
        ranked = sorted([*self.kept, found], key=lambda one: (-one.loss, one.scored.row.id))
        self.kept = ranked[:NUM_KEPT]


def write_page(evidence: GateEvidence, regressions: Regressions, title: str, path: Path = PAGE) -> Path | None:
    """Writes the page; returns None where no champion was compared.

    Args:
        evidence: Evidence with the comparison.
        regressions: Images that lost most.
        title: Models that are compared, in words.
        path: Path of the page.
    """
    comparison = evidence.comparison
    if comparison is None or not comparison.changes:
        return None
    classes = _in_order(ClassMap.read(evidence.candidate / "class_map.json"), comparison.class_names)
    whole, *others = comparison.changes
    text = (
        open_templates(Path(__file__).parent)
        .get_template("comparison.html.j2")
        .render(
            title=title,
            test_set=evidence.test_set,
            whole=whole,
            groups=[
                (kind, [change for change in others if change.kind == kind]) for kind in ("class", "domain", "delivery")
            ],
            comparison=comparison,
            headline=WORDS[comparison.headline],
            level=LEVEL_PERCENT,
            colours=MODEL_COLOURS,
            swatches={
                name: "rgb({}, {}, {})".format(*colour)
                for name, colour in zip(classes.names, classes.colors, strict=True)
            },
            regressions=[_describe(one, classes) for one in regressions.kept],
            task=classes.task,
        )
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path) as pending:
        pending.write_text(text, encoding="utf-8")
    return path


def _in_order(classes: ClassMap, names: tuple[str, ...]) -> ClassMap:
    places = [classes.names.index(name) for name in names]
    return replace(classes, names=names, colors=tuple(classes.colors[place] for place in places))


def _describe(regression: Regression, classes: ClassMap) -> dict[str, Any]:
    """Values of the page about one image."""
    scored = regression.scored
    ids = {name: scored.predictions[name].class_ids for name in (CHAMPION, CANDIDATE)}
    values = {"id": scored.row.id, "domain": scored.row.domain, "regression": regression, "labels": {}, "truth": None}
    image, masks = composite(scored.image, classes.channels), {}
    if scored.targets.ndim > 1:
        masks = {"truth": scored.targets, **ids, "lost": _lost(scored.targets, ids)}
    else:
        values |= {"truth": name_labels(scored.targets, classes)}
        values |= {"labels": {name: name_labels(found, classes) for name, found in ids.items()}}
    colours = [*classes.colors]
    pictures: tuple[Picture, ...] = show(image, {name: mask for name, mask in masks.items() if name != "lost"}, colours)
    if "lost" in masks:
        pictures += show(image, {"right before, wrong now": masks["lost"]}, [(214, 39, 40)])[1:]
    return values | {"pictures": pictures}


def _lost(truth: np.ndarray, ids: dict[str, np.ndarray]) -> np.ndarray:
    """A mask, uint8 [H, W], that is 0 where only the champion is right and 255 elsewhere."""
    lost = (ids[CHAMPION] == truth) & (ids[CANDIDATE] != truth)
    return np.where(lost, 0, 255).astype(np.uint8)
