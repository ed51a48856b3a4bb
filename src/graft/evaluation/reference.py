"""The reference of a model: the images it was scored on as it saw them, against which new images are compared.

Held-out images are taken, for a model knows the ones it was trained on too well: its features and its confidence there
are not those of new images of the same kind.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from pathlib import Path

from graft.data.images.stacks import composite
from graft.evaluation.observations import Observation, Observations
from graft.evaluation.scores import ScoredImage
from graft.foundation.class_map import ClassMap
from graft.inference.embedding import FeaturePredictor

MOST_IMAGES = 1000
REFERENCE_FILE = "reference.parquet"


class Reference:
    """Gathers observations while the split streams by, of at most `MOST_IMAGES` images, chosen by their digests.

    Args:
        classes: Classes of the model.
        digests: sha256 of every image of the split.
        predictor: The model, where predictions come without features, as those averaged over several views do: an
            exported model sees each image once.
    """

    def __init__(self, classes: ClassMap, digests: Sequence[str], predictor: FeaturePredictor | None) -> None:
        self.classes, self.predictor = classes, predictor
        self.chosen = set(heapq.nsmallest(MOST_IMAGES, set(digests)))
        self.images: list[Observation] = []

    def offer(self, scored: ScoredImage) -> None:
        """Observes the image if it is one of the chosen."""
        if scored.row.image_sha256 not in self.chosen:
            return
        found = scored.predictions["fine_tuned"]
        class_ids, confidence, features = found.class_ids, found.confidence, found.features
        if self.predictor is not None:
            once = self.predictor.predict(scored.image)
            class_ids, confidence, features = once.class_ids, float(once.confidence.mean()), once.features
        assert confidence is not None
        assert features is not None
        picture = composite(scored.image, self.classes.channels)
        self.images.append(
            Observation.of(scored.row.image_sha256, picture, class_ids, confidence, features, self.classes.num_classes)
        )

    def write(self, folder: Path) -> None:
        """Writes `reference.parquet`."""
        Observations.of(self.images).write(folder / REFERENCE_FILE)
