"""The classes of one source onto the classes of several joined ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graft.data.formats.translation import VOID, Translation
from graft.foundation.errors import suggest

OTHERS = "*"


def map_classes(
    mapping: Mapping[str, str | None], own: Sequence[str], classes: Sequence[str]
) -> tuple[list[int | None], list[str]]:
    """For each class of a source the id it becomes, None where it is ignored; and what is wrong with the mapping.

    Args:
        mapping: Name in the source to the name it becomes, or None; `*` for all that have no line and no namesake.
        own: Names of the classes of the source.
        classes: Names of the classes of the whole.
    """
    ids = {name: id for id, name in enumerate(classes)}
    known = dict.fromkeys([*own, OTHERS])
    problems = [
        f"{name}: the source has no such class; {suggest(name, known)}" for name in mapping if name not in known
    ]
    problems += [
        f"{name}: {target!r} is none of the classes; {suggest(target, ids)}"
        for name, target in mapping.items()
        if target is not None and target not in ids
    ]
    homeless = [name for name in own if name not in mapping and name not in ids and OTHERS not in mapping]
    if homeless:
        problems.append(f'{", ".join(homeless)}: nowhere to go; map each to a class or to null, or name where "*" goes')
    goals = [mapping[name] if name in mapping else name if name in ids else mapping.get(OTHERS) for name in own]
    return [None if goal is None else ids.get(goal) for goal in goals], problems


def remap(translation: Translation, targets: Sequence[int | None], num_classes: int) -> Translation:
    """The translation of a source with other classes at its end.

    Args:
        translation: To the K classes of the source.
        targets: For each of them the class it becomes, or None where it is ignored.
        num_classes: Number of classes after mapping.
    """
    grey: list[list[tuple[int, int]]] = [[] for _ in range(num_classes)]
    colours: list[list[tuple[int, int, int]]] = [[] for _ in range(num_classes)]
    void_grey, void_colours = list(translation.void_grey), list(translation.void_colours)
    for own_grey, own_colours, target in zip(translation.grey, translation.colours, targets, strict=True):
        (void_grey if target is None else grey[target]).extend(own_grey)
        (void_colours if target is None else colours[target]).extend(own_colours)
    rest = None
    if translation.rest is not None:
        target = targets[translation.rest]
        rest = VOID if target is None else target
    return Translation(tuple(map(tuple, grey)), tuple(map(tuple, colours)), tuple(void_grey), tuple(void_colours), rest)
