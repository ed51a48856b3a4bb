"""The beginning of a training, as far as a strategy has to know it beside model and images."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Beginning:
    """The facts of a training's start.

    Attributes:
        seed: Seed of the whole pipeline.
        task: Task, `segmentation` or `classification`.
        class_names: Names of the K classes, in order of id.
        known_classes: Names of those that the pretrained weights tell apart already: their rows of the class layers
            were taken over.
    """

    seed: int
    task: str
    class_names: tuple[str, ...]
    known_classes: tuple[str, ...] = ()

    @property
    def known(self) -> list[int]:
        """Ids of the classes that the pretrained weights tell apart."""
        return [number for number, name in enumerate(self.class_names) if name in self.known_classes]

    @property
    def new(self) -> list[int]:
        """Ids of the classes that they do not."""
        return [number for number, name in enumerate(self.class_names) if name not in self.known_classes]
