"""A score of a model on images without labels: it stands in for the truth where an adaptation has to be judged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from graft.data.views.view import Views
from graft.foundation.class_map import IGNORE_INDEX
from graft.foundation.content import content_seed
from graft.metrics.confusion import Marginals, confusion_matrix
from graft.training.forward import Forward
from graft.training.strategies.parent import logits_of
from graft.training.strong_colours import change_colours

# Images that are looked at after each epoch; their first weak views.
MOST_IMAGES = 64


@torch.no_grad()
def target_score(
    forward: Forward, views: Views, batch_size: int, channels: Sequence[str], shares: np.ndarray, seed: int
) -> float:
    """Agreement of two views, less where classes are predicted in other shares than they have among the labels.

    The mean IoU of the answers to an image and to its strong view, mirrored and in other colours, times
    1 - ½ Σ_c |predicted share - labelled share|. From 0 to 1, and larger is better: answers that mean something survive
    a change that means nothing, and those of a model that takes everything for one class, which do so too, have other
    shares. The model comes back in evaluation mode.

    Args:
        forward: Forward pass of the model.
        views: Weak views of unlabelled images.
        batch_size: Number of images in a batch.
        channels: Names of the channels.
        shares: Share of each class among the labels, [K].
        seed: Seed of the whole pipeline.
    """
    forward.model.eval()
    torch.manual_seed(content_seed(seed, "target score"))  # each step of the training has a seed of its own
    counts = np.zeros((len(shares), len(shares)), np.int64)
    order = np.arange(min(views.num_samples, MOST_IMAGES))
    for images, targets in views.batches(order, 0, batch_size, forward.scale.device):
        answers = logits_of(forward(images)).argmax(1)
        mirrored = logits_of(forward(change_colours(images.flip(-1), channels))).argmax(1)
        if answers.ndim == 1:
            counts += confusion_matrix(mirrored, answers, len(shares), ignore_index=None)
        else:
            seen = answers.masked_fill(targets != 0, IGNORE_INDEX)
            counts += confusion_matrix(mirrored.flip(-1), seen, len(shares))
    marginals = Marginals.of(counts)
    distance = np.abs(marginals.truth / max(counts.sum(), 1) - shares).sum() / 2
    return float(np.nan_to_num(marginals.mean_iou) * (1 - distance))
