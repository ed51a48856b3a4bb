"""The context of a training, as far as a strategy has to know it beside model and images."""

from __future__ import annotations

from dataclasses import dataclass

from graft.data.views.view import Views
from graft.foundation.class_map import RGB
from graft.models.teacher import Teacher


@dataclass(frozen=True)
class TrainingContext:
    """The facts of a training's start.

    Attributes:
        seed: Seed of the whole pipeline.
        task: Task, `segmentation` or `classification`.
        class_names: Names of the K classes, in order of id.
        known_classes: Names of those that the pretrained weights tell apart already: their rows of the class layers
            were taken over.
        channels: Names of the channels of an image, in order.
        batch_size: Number of images in a batch.
        averaging: Name of the average of the weights, `none` where there is none.
        unlabelled: Weak views of unlabelled images, if there are any.
        teachers: Finished models that the strategy learns from.
    """

    seed: int
    task: str
    class_names: tuple[str, ...]
    known_classes: tuple[str, ...] = ()
    channels: tuple[str, ...] = RGB
    batch_size: int = 1
    averaging: str = "none"
    unlabelled: Views | None = None
    teachers: tuple[Teacher, ...] = ()

    @property
    def known(self) -> list[int]:
        """Ids of the classes that the pretrained weights tell apart."""
        return [number for number, name in enumerate(self.class_names) if name in self.known_classes]

    @property
    def new(self) -> list[int]:
        """Ids of the classes that they do not."""
        return [number for number, name in enumerate(self.class_names) if name not in self.known_classes]
