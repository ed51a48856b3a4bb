"""Rules of sources and deliveries that no file is needed for: their classes, domains and names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from graft.data.formats import FORMATS, check_labels
from graft.data.formats.ade20k import NUM_CLASSES as NUM_ADE20K_CLASSES
from graft.data.formats.cityscapes import CLASSES as CITYSCAPES_CLASSES
from graft.data.formats.class_values import translation_of
from graft.data.formats.clips import ClipSplits
from graft.data.formats.coco_stuff import NAME_OF as COCO_STUFF_NAMES
from graft.data.formats.drawn.classes import class_names
from graft.data.formats.missing_masks import check_missing
from graft.data.formats.scenes import known_domains
from graft.data.formats.splits import Groups, check_fractions
from graft.data.formats.voc_classes import NAMES as VOC_NAMES
from graft.data.memory import MEMORIES, parent_problem
from graft.foundation.choices import Choice, resolve
from graft.foundation.errors import GraftError, suggest
from graft.params.memory import Finding, Place
from graft.params.sections import Params
from graft.params.source_parts import sources_in
from graft.scenes import CLASSES as SCENE_CLASSES

SOURCE = ("ingest", "source")
ALL_OTHERS = "*"
PUBLISHED_CLASSES = {
    "cityscapes": tuple(name for name, *_ in CITYSCAPES_CLASSES),
    "coco_stuff": tuple(COCO_STUFF_NAMES.values()),
}
EVERYWHERE = {"cityscapes": "street", "camvid": "street"}  # sources whose images are all of one named domain


def find_source_problems(params: Params) -> Iterator[Finding]:
    """Finds what no file is needed for: values in two classes, unknown domains, unknown floors."""
    sources = dict(sources_of(params))
    problems = [
        (place, error) for place, source in sources.items() for one in sources_in(source) for error in _refusals(one)
    ]
    problems += [(place, error) for place, source in sources.items() for error in _without_labels(params.task, source)]
    yield from problems
    if problems:
        return
    yield from _check_floors(params, "class_floors", all_classes(params))
    yield from _check_floors(params, "domain_floors", _union(_known_domains(source) for source in sources.values()))
    yield from _check_floors(params, "delivery_floors", params.ingest.names)


def _without_labels(task: str, source: Choice) -> Iterator[GraftError]:
    """The error of a source that cannot say several labels an image, where the task has them."""
    try:
        check_labels(task, source.name)
    except GraftError as error:
        yield error


def sources_of(params: Params) -> Iterator[tuple[Place, Choice]]:
    """The source of every delivery, and its place in the file."""
    yield SOURCE, resolve(FORMATS, params.ingest.source, where="ingest.source")
    for name, delivery in params.ingest.deliveries.items():
        place = ("ingest", "deliveries", name, "source")
        yield place, resolve(FORMATS, delivery.source, where=".".join(place))


def all_classes(params: Params) -> tuple[str, ...] | None:
    """The classes of all deliveries in order of id; None where only files can say it."""
    return _union(known_classes(params.task, source) for _, source in sources_of(params))


def _union(found: Iterable[tuple[str, ...] | None]) -> tuple[str, ...] | None:
    """All names in order, each once; None where some are not known."""
    names: dict[str, None] = {}
    for each in found:
        if each is None:
            return None
        names |= dict.fromkeys(each)
    return tuple(names)


def known_classes(task: str, source: Choice) -> tuple[str, ...] | None:
    """The classes of a source in order of id; None where only its files can say it.

    Args:
        task: Task of the params.
        source: Entry of FORMATS with its options.
    """
    options = source.options
    match source.name:
        case "stacks" | "tiles":
            return known_classes(task, resolve(FORMATS, options["source"], where="ingest.source.source"))
        case "coco" | "coco_panoptic" if options["categories"] is not None:
            return (*([options["background"]] if options["background"] else []), *options["categories"])
        case "cityscapes" | "coco_stuff":
            return PUBLISHED_CLASSES[source.name]
        case "voc" if options["classes"] is None:
            return tuple(VOC_NAMES)
        case "scenes" if task == "classification":
            return tuple(known_domains(options["domain"]))
        case "scenes" | "camvid":
            return tuple(SCENE_CLASSES)
        case "csv" if task != "segmentation":
            columns = options["label_columns"] if task == "multilabel" else None
            names = options["classes"] if isinstance(options["classes"], list) else columns
            return None if names is None else tuple(map(str, names))
    background = options.get("background") if task == "segmentation" else None
    classes = options.get("classes")
    return None if classes is None or isinstance(classes, str) else class_names(classes, background)


def known_num_classes(params: Params) -> int | None:
    """The number of classes of all deliveries; None where only files can say it."""
    names = all_classes(params)
    if names is not None:
        return len(names)
    kinds = {one.name for _, source in sources_of(params) for one in sources_in(source)}
    return NUM_ADE20K_CLASSES if kinds == {"ade20k"} else None


def _refusals(source: Choice) -> Iterator[GraftError]:
    """Errors of the source itself, as it would raise them once it runs."""
    for check in _checks(source.name, source.options):
        try:
            check()
        except GraftError as error:
            if error.where and not error.what.startswith(str(error.where)):
                error.what = f"{error.where}: {error.what}"
            yield error


def _checks(name: str, options: Mapping[str, Any]) -> list[Callable[[], Any]]:
    checks: list[Callable[[], Any]] = []
    if name == "scenes":
        checks.append(lambda: known_domains(options["domain"]))
    if "val_fraction" in options:
        checks.append(lambda: check_fractions(options["val_fraction"], options["test_fraction"]))
    if isinstance(options.get("classes"), dict) and name in ("csv", "mask_folder"):
        checks.append(lambda: translation_of(options["classes"], options["void"]))
    if name == "mask_folder" and options["missing_mask"] == "background":
        checks.append(lambda: check_missing("background", translation_of(options["classes"], options["void"])))
    if "val_stretch" in options:
        checks.append(lambda: ClipSplits.of(options).refuse_contradictions())
    if "group_pattern" in options:
        checks.append(lambda: Groups(options["group_pattern"]))
    return checks


def _known_domains(source: Choice) -> tuple[str, ...] | None:
    """The domains of the images of a source; None where only its files can say it."""
    if source.name in ("joined", "csv"):
        return None
    (inner,) = sources_in(source)
    if inner.name == "csv":
        return None
    if inner.name == "scenes":
        return tuple(known_domains(inner.options["domain"]))
    return (EVERYWHERE.get(inner.name, "unspecified"),)


def _check_floors(params: Params, key: str, known: tuple[str, ...] | None) -> Iterator[Finding]:
    """Refuses floors for what no image will show: the gate could never measure them."""
    floors = getattr(params.promotion, key)
    what = key.removesuffix("_floors")
    place = "ingest" if what == "delivery" else "ingest.source"
    if known is None:
        return
    for name in floors:
        if name not in (*known, ALL_OTHERS):
            yield (
                ("promotion", key, name),
                GraftError(
                    f"promotion.{key}.{name}: {place} has no {what} of this name",
                    rule="a floor that cannot be measured fails at every promotion",
                    remedy=suggest(name, known),
                ),
            )


def find_memory_problems(params: Params) -> Iterator[Finding]:
    """Finds names in `augment.memory` that are no deliveries of `ingest`, and a choice without its model."""
    memory = resolve(MEMORIES, params.augment.memory, where="augment.memory")
    if problem := parent_problem(memory, params.augment.parent):
        problem.where = None
        yield ("augment", "parent"), problem
    known = params.ingest.names
    if strange := [name for name in memory.options.get("new", ()) if name not in known]:
        yield (
            ("augment", "memory"),
            GraftError(
                f"augment.memory.new: no delivery is called {', '.join(strange)}",
                rule=f"it names deliveries whose images are learnt; there are {', '.join(known)}",
                remedy="add the delivery to ingest.deliveries, or name one that is there",
            ),
        )
