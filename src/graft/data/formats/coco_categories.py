"""Which categories of COCO become classes; annotation files agree on them by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from graft.data.formats.coco_annotations import Annotations
from graft.data.formats.translation import MOST_CLASSES
from graft.foundation.errors import GraftError, suggest

NUM_SHOWN = 10


def choose_categories(
    read: Mapping[str, Annotations], files: Mapping[str, str], names: Sequence[str] | None, background: str | None
) -> tuple[list[str], list[str]]:
    """Names of the categories that become classes, in order, and what was left aside.

    Args:
        read: Content of the file of each split.
        files: Its id.
        names: The option `categories`; None takes all that any file annotates.
        background: Name of class 0, if there is one.

    Raises:
        GraftError: The files do not agree, or these names and the background cannot be classes together.
    """
    _refuse_disagreements(read, files, names)
    train = read["train"].categories
    used = {name for one in read.values() for name in one.used.values()}
    notes = []
    if names is None:
        names = list(dict.fromkeys(name for name in train.values() if name in used))
        if idle := sorted(set(train.values()) - used):
            shown = ", ".join(idle[:NUM_SHOWN]) + (
                f" and {len(idle) - NUM_SHOWN} more" if len(idle) > NUM_SHOWN else ""
            )
            notes = [f"{shown}: categories without any annotation, which categories would take by name"]
    known = dict.fromkeys(train.values())
    problems = [f"{name!r}: {suggest(name, known)}" for name in names if name not in known]
    twice = [name for name, number in Counter([*names, *([background] if background else [])]).items() if number > 1]
    problems += [f"{name!r} is there twice" for name in twice]
    num_classes = len(names) + (background is not None)
    if not 2 <= num_classes <= MOST_CLASSES:
        problems.append(f"{num_classes} classes; there must be 2 to {MOST_CLASSES}")
    if problems:
        raise GraftError.of_all("ingest.source.categories and background cannot be used", problems)
    return list(names), notes


def _refuse_disagreements(
    read: Mapping[str, Annotations], files: Mapping[str, str], names: Sequence[str] | None
) -> None:
    """Refuses a name that stands for two categories, and one that only another file than that of train annotates."""
    problems = []
    known = set(read["train"].categories.values())
    for split, one in read.items():
        twice = sorted(name for name, number in Counter(one.used.values()).items() if number > 1)
        problems += [f"{files[split]}: two annotated categories are called {name!r}" for name in twice]
        strange = sorted(name for name in set(one.used.values()) - known if names is None or name in names)
        problems += [f"{files[split]}: {files['train']} does not list its category {name!r}" for name in strange]
        wide = [id for id in one.categories if not 0 <= id <= 65535]
        problems += [f"{files[split]}: category {id}: a mask holds values of 0 to 65535" for id in wide]
    if problems:
        raise GraftError.of_all(
            "annotation files whose categories do not fit together",
            problems,
            remedy="categories go by their names: export the files again from one project, or list in categories "
            "those that all of them have",
        )
