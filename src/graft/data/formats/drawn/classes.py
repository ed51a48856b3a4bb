"""Which labels of an annotation tool make which class."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from graft.data.formats.listing import distinct_colours
from graft.data.formats.translation import MOST_CLASSES, VOID
from graft.foundation.class_map import ClassMap
from graft.foundation.errors import GraftError, suggest

ClassLabels = list[str] | dict[str, list[str]]
UNNAMED = "_background_"  # what labelme's own scripts call the rest
NUM_SHOWN = 10


@dataclass(frozen=True)
class DrawnClasses:
    """The classes, and what each label stands for.

    Attributes:
        names: Names of the classes, in order of id.
        id_of: Class id of each label; 255 where its pixels are ignored.
        unnamed: Class id of what bears no label; 255 where that is ignored.
        unmet: Labels of the classes that were never met.
    """

    names: tuple[str, ...]
    id_of: Mapping[str, int]
    unnamed: int
    unmet: tuple[str, ...] = ()

    def warnings(self, met: Iterable[str]) -> list[str]:
        """A sentence about labels that were never met, and what they resemble."""
        known = list(met)
        told = [f"{label!r} ({suggest(label, known)})" for label in self.unmet[:NUM_SHOWN]]
        more = [f"{len(self.unmet) - NUM_SHOWN} more"] if len(self.unmet) > NUM_SHOWN else []
        return [f"labels that were never met: {', '.join([*told, *more])}"] if told else []

    def class_map(self, task: str, source: str, *, official_splits: bool) -> ClassMap:
        """The class map: source values are class ids for masks, and names for labels of whole images."""
        has_background = self.unnamed != VOID
        colours = distinct_colours(len(self.names) - has_background)
        return ClassMap(
            task=task,
            names=self.names,
            colors=((0, 0, 0), *colours) if has_background else colours,
            source_values=tuple(range(len(self.names))) if task == "segmentation" else self.names,
            official_splits=official_splits,
            synthetic=False,
            source=source,
        )


def class_names(classes: ClassLabels, background: str | None) -> tuple[str, ...]:
    """The names of these classes in order of id, the background first."""
    first = [] if background is None else [background]
    return (*first, *(name for name in classes if name != background))


def choose_classes(
    met: Mapping[str, int], classes: ClassLabels | None, background: str | None, void: Collection[str]
) -> DrawnClasses:
    """The classes that the options of a source describe.

    Args:
        met: Number of times that each label was met.
        classes: Labels that are classes, or each class and its labels; None makes each label a class, by name.
        background: Name of class 0, whatever bears no label, and labels that `classes` gives it; None ignores that.
        void: Labels that are ignored.

    Raises:
        GraftError: Labels are in no class or in two, or there are too many or too few classes; lists all.
    """
    if classes is None:
        classes = sorted(set(met) - set(void) - ({background, UNNAMED} if background is not None else set()))
    labels_of = classes if isinstance(classes, dict) else {name: [name] for name in classes}
    names = class_names(classes, background)
    id_of: dict[str, int] = {label: names.index(name) for name, labels in labels_of.items() for label in labels}
    if background is not None:
        id_of = {background: 0, UNNAMED: 0} | id_of
    id_of |= dict.fromkeys(void, VOID)
    if problems := [*_claims(labels_of, void), *_strange(met, id_of), *_miscounted(names)]:
        remedy = "list the labels of each class in classes, as in {car: [car, van]}, and those to be ignored in void"
        raise GraftError.of_all("ingest.source.classes cannot be used", problems, remedy=remedy)
    unmet = (label for name, labels in labels_of.items() if name != background for label in labels if label not in met)
    return DrawnClasses(names, id_of, VOID if background is None else 0, tuple(unmet))


def _claims(labels_of: Mapping[str, Sequence[str]], void: Collection[str]) -> list[str]:
    """Labels of two classes, and more or fewer classes than there may be."""
    owners: dict[str, list[str]] = {}
    for name, labels in [*labels_of.items(), ("void", list(void))]:
        for label in labels:
            owners.setdefault(label, []).append(name)
    return [f"{label!r} is in {' and in '.join(names)}" for label, names in owners.items() if len(names) > 1]


def _strange(met: Mapping[str, int], id_of: Mapping[str, int]) -> list[str]:
    strange = sorted(set(met) - set(id_of))
    lines = [f"label {label!r}, met {met[label]} times, is in no class" for label in strange[:NUM_SHOWN]]
    return lines + ([f"{len(strange) - NUM_SHOWN} more labels are in no class"] if len(strange) > NUM_SHOWN else [])


def _miscounted(names: Sequence[str]) -> list[str]:
    return [] if 2 <= len(names) <= MOST_CLASSES else [f"{len(names)} classes; there must be 2 to {MOST_CLASSES}"]
