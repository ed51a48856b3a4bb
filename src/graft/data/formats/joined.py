"""Several sources as one data set, with a class mapping between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NotRequired

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic refuses typing's before Python 3.12

from graft.data.formats.class_mapping import map_classes, remap
from graft.data.formats.files import id_of
from graft.data.formats.joined_reader import JoinedCutter, JoinedEntry, JoinedReader, renamed
from graft.data.formats.listing import Listing, distinct_colours
from graft.data.formats.translation import Translation, Translations
from graft.foundation.choices import resolve
from graft.foundation.class_map import ClassMap
from graft.foundation.counted import counted
from graft.foundation.errors import GraftError, suggest


@with_config(ConfigDict(extra="forbid", strict=True))
class JoinedSource(TypedDict):
    """One of the sources that are joined."""

    source: str | dict[str, Any]
    root: NotRequired[str]
    domain: NotRequired[str]
    classes: NotRequired[dict[str, str | None]]


def _check(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Refuses what cannot be a part while params are checked, and resolves the options of each source."""
    from graft.data.formats import FORMATS

    problems, resolved = _of_wrong_form(parts), []
    for number, part in enumerate(parts):
        if not isinstance(part.get("source"), (str, dict)):
            continue
        try:
            chosen = resolve(FORMATS, part["source"], where=f"sources[{number}].source")
        except GraftError as error:
            problems.append(str(error))
        else:
            if chosen.name == "joined":
                problems.append(f"sources[{number}]: joined sources cannot be joined again; list them all in one")
            resolved.append({**part, "source": chosen.as_dict()})
    if problems:
        raise ValueError("\n".join(problems))
    return resolved


def _of_wrong_form(parts: list[dict[str, Any]]) -> list[str]:
    """The problems that pydantic finds in parts, each with its place."""
    try:
        TypeAdapter(list[JoinedSource]).validate_python(parts)
    except ValidationError as error:
        return [_in_words(one["loc"], one["type"], one["msg"]) for one in error.errors()]
    return []


def _in_words(place: tuple[int | str, ...], kind: str, message: str) -> str:
    where = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place)
    if kind == "extra_forbidden":
        message = f"no such key; {suggest(str(place[-1]), JoinedSource.__annotations__)}"
    return f"sources{where}: {message}"


def joined(
    task: str,
    seed: int,
    root: Path,
    *,
    sources: Annotated[list[dict[str, Any]], Field(min_length=1), AfterValidator(_check)],
    classes: Annotated[list[str], Field(min_length=2, max_length=254)],
) -> Listing:
    """Several sources as one, each in a folder of its own, their classes mapped onto one list.

    To train on more than one data set, to score domains side by side, or to merge the classes of a single source.
    Splits, groups and domains are those of each source; ids and groups get the folder of the source in front, so they
    stay unique. Predictions are written as positions in `classes`, because the sources need not agree on values.

    Lambert et al. 2020, "MSeg: A Composite Dataset for Multi-domain Semantic Segmentation", on what it takes to make
    the classes of several data sets one list.

    Args:
        sources: For each its `source` as it would stand alone; `root`, its folder below ingest.root; `domain`, if all
            of its images are of one; and `classes`, its class to one of ours or to null, which is ignored (an image is
            left aside). A class that is not named keeps its name if we have it; "*" says where all others go.
        classes: The classes of the whole, in order. One that no class of any source becomes is told: a later delivery
            that labels only new classes names those before all the same, so that their ids stay.
    """
    twice = sorted({name for name in classes if classes.count(name) > 1})
    if twice:
        raise GraftError(f"{', '.join(twice)} is there twice", where="ingest.source.classes")
    listings = [_listing(task, seed, root, number, part) for number, part in enumerate(sources)]
    maps = [
        map_classes(part.get("classes", {}), listing.class_map.names, classes)
        for part, listing in zip(sources, listings, strict=True)
    ]
    problems = [f"sources[{n}].classes: {problem}" for n, (_, wrong) in enumerate(maps) for problem in wrong]
    unreached = [name for n, name in enumerate(classes) if not any(n in targets for targets, _ in maps)]
    kinds = [(listing.class_map.channels, listing.class_map.max_value) for listing in listings]
    problems += [f"sources have other channels: {' and '.join(map(str, dict.fromkeys(kinds)))}"] * (len(set(kinds)) > 1)
    if problems:
        raise GraftError.of_all("ingest.source: sources that cannot be joined", problems)
    targets = [targets for targets, _ in maps]
    cut = tuple(listing.cut for listing in listings)
    entries, left_aside = _entries(sources, listings, targets)
    return Listing(
        _class_map(task, classes, listings, targets),
        entries,
        JoinedReader(tuple(listing.read for listing in listings)),
        _translations(listings, targets, len(classes)),
        _of_each(sources, [listing.problems for listing in listings]) + _collisions(entries),
        _of_each(sources, [listing.notes for listing in listings]) + left_aside,
        _of_each(sources, [listing.warnings for listing in listings]) + _of_unreached(unreached),
        cut=JoinedCutter(tuple(map(_front_of, sources)), cut) if any(cut) else None,
        not_images=[
            f"{_front_of(part)}{path}"
            for part, listing in zip(sources, listings, strict=True)
            for path in listing.not_images
        ],
    )


def _of_unreached(classes: Sequence[str]) -> list[str]:
    if not classes:
        return []
    return [f"no class of any source becomes {', '.join(classes)}: nothing here is labelled so"]


def _listing(task: str, seed: int, root: Path, number: int, part: Mapping[str, Any]) -> Listing:
    from graft.data.formats import FORMATS

    folder = Path(part.get("root", ""))
    if folder.is_absolute() or ".." in folder.parts:
        raise GraftError(
            f"{part['root']!r} leads out of the root",
            where=f"ingest.source.sources[{number}].root",
            rule="the folders of the sources lie below ingest.root",
        )
    return resolve(FORMATS, part["source"], where=f"ingest.source.sources[{number}].source")(task, seed, root / folder)


def _entries(
    sources: Sequence[Mapping[str, Any]], listings: Sequence[Listing], targets: Sequence[Sequence[int | None]]
) -> tuple[list[JoinedEntry], list[str]]:
    entries, num_left_aside = [], 0
    for number, (part, listing) in enumerate(zip(sources, listings, strict=True)):
        front = _front_of(part)
        for own in listing.entries:
            label = own.label if own.label is None else targets[number][own.label]
            if own.label is not None and label is None:
                num_left_aside += 1
                continue
            entry = renamed(own, front, number)
            entries.append(replace(entry, domain=part.get("domain", own.domain), label=label))
    return entries, [f"{counted(num_left_aside, 'image')} of classes that are mapped to null"] if num_left_aside else []


def _front_of(part: Mapping[str, Any]) -> str:
    """Folder of a source as the beginning of ids."""
    return "".join(f"{id_of(name)}/" for name in Path(part.get("root", "")).parts)


def _collisions(entries: Sequence[JoinedEntry]) -> list[str]:
    first: dict[str, JoinedEntry] = {}
    for entry in entries:
        first.setdefault(entry.id, entry)
    return [
        f"{entry.id}: sources {first[entry.id].source} and {entry.source} both have it; give them folders of their own"
        for entry in entries
        if first[entry.id] is not entry
    ]


def _of_each(sources: Sequence[Mapping[str, Any]], lines: Sequence[Sequence[str]]) -> list[str]:
    return [f"{part.get('root') or number}: {line}" for number, part in enumerate(sources) for line in lines[number]]


def _translations(
    listings: Sequence[Listing], targets: Sequence[Sequence[int | None]], num_classes: int
) -> Translations | None:
    of_source = [
        remap(listing.translation, to, num_classes)
        for listing, to in zip(listings, targets, strict=True)
        if isinstance(listing.translation, Translation)
    ]
    return Translations(tuple(of_source)) if of_source else None


def _class_map(
    task: str, classes: Sequence[str], listings: Sequence[Listing], targets: Sequence[Sequence[int | None]]
) -> ClassMap:
    """Each class has the colour of the first class that becomes it, unless another one has that already."""
    colours = dict(enumerate(distinct_colours(len(classes))))
    taken: dict[int, tuple[int, int, int]] = {}
    for listing, to in zip(listings, targets, strict=True):
        for colour, number in zip(listing.class_map.colors, to, strict=True):
            if number is not None and number not in taken and colour not in taken.values():
                taken[number] = colour
    maps = [listing.class_map for listing in listings]
    licences = sorted({f"{one.source}: {one.licence}" for one in maps})
    return replace(
        maps[0],
        task=task,
        names=tuple(classes),
        colors=tuple((colours | taken)[number] for number in range(len(classes))),
        source_values=tuple(classes) if task == "classification" else tuple(range(len(classes))),
        void_values=(),
        official_splits=any(one.official_splits for one in maps),
        synthetic=any(one.synthetic for one in maps),
        source="joined",
        licence="; ".join(licences),
    )
