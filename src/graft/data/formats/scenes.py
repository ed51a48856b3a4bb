"""Streets drawn by `graft.scenes`: nothing to download, every mask exact. Mask values are class ids already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from graft.data.formats.listing import Entry, Listing, distinct_colours
from graft.data.formats.translation import identity
from graft.foundation.class_map import SPLITS, UNLABELLED, ClassMap
from graft.foundation.errors import GraftError, suggest

if TYPE_CHECKING:
    import numpy as np

# Far apart, so that no split can grow into another and a longer split keeps the images it had.
FIRST_INDEX = {split: number * 10_000_000 for number, split in enumerate(SPLITS)}
Num = Annotated[int, Field(ge=0, lt=10_000_000)]
NumNeeded = Annotated[int, Field(ge=1, lt=10_000_000)]
WidthPx = Annotated[int, Field(ge=64, le=4096)]
HeightPx = Annotated[int, Field(ge=48, le=4096)]


def scenes(
    task: str,
    seed: int,
    root: object,
    *,
    domain: str | list[str],
    num_train: NumNeeded,
    num_val: NumNeeded,
    num_test: Num,
    num_unlabelled: Num = 0,
    unlabelled_domain: str | list[str] | None = None,
    width_px: WidthPx,
    height_px: HeightPx,
) -> Listing:
    """Streets drawn by Graft, in any light and weather, with an exact mask for every pixel and nothing to download.

    To try the pipeline, to pretrain where nothing can be downloaded, and to know the truth exactly; they are no
    photographs, and every report says so. Scenes have the classes of CamVid; to a classifier the domain is the label.
    Nothing below `root` is read. An image is a function of (split seed, domain, number), so a longer split keeps the
    images it had.

    Args:
        domain: Domain that is drawn, as `day` or `night_rain`; several in turn as a list, or with commas.
        num_train: Images to train on, of all domains together.
        num_val: Images to validate on.
        num_test: Images to test on.
        num_unlabelled: Images without a mask or label.
        unlabelled_domain: Their domain, or several; null is that of the others.
        width_px: Width of every image.
        height_px: Height of every image.
    """
    domains = known_domains(domain)
    classify = task == "classification"
    if classify and len(domains) < 2:
        raise GraftError(
            "scenes has one domain, and the domain is what a classifier tells apart",
            where="ingest.source.domain",
            rule="classification needs at least two domains",
            remedy='list them, as in domain: "day,night,rain,fog,snow,dusk"',
        )
    counts = dict(zip(SPLITS, (num_train, num_val, num_test, num_unlabelled), strict=True))
    of_split = dict.fromkeys(SPLITS, domains)
    if unlabelled_domain is not None:
        of_split[UNLABELLED] = known_domains(unlabelled_domain, "unlabelled_domain")
    entries = [_entry(of_split[split], split, i, classify) for split, count in counts.items() for i in range(count)]
    class_map = _class_map(task, domains)
    read = partial(_draw, _Drawing(seed, width_px, height_px, with_mask=not classify))
    return Listing(class_map, entries, read, translation=None if classify else identity(class_map.num_classes))


def _entry(domains: list[str], split: str, i: int, classify: bool) -> Entry:
    """Number i of a split; the domains take turns."""
    label, name = i % len(domains), f"{domains[i % len(domains)]}/{split}/{i:06d}.png"
    return Entry(
        id=name,
        split=split,
        domain=domains[label],
        group=name,
        image=FIRST_INDEX[split] + i,
        label=label if classify and split != UNLABELLED else None,
    )


@dataclass(frozen=True)
class _Drawing:
    seed: int
    width_px: int
    height_px: int
    with_mask: bool


def _draw(drawing: _Drawing, entry: Entry) -> tuple[bytes, bytes | None]:
    from graft.scenes import render

    scene = render(drawing.seed, entry.domain, int(entry.image), width=drawing.width_px, height=drawing.height_px)
    with_mask = drawing.with_mask and entry.split != UNLABELLED
    return _png(scene.image[..., ::-1]), _png(scene.mask) if with_mask else None


def _png(array: np.ndarray) -> bytes:
    """PNG of a grey or BGR array; level 1, since sensor noise does not compress and higher levels only cost time."""
    import cv2

    return cv2.imencode(".png", array, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def known_domains(domain: str | Sequence[str], option: str = "domain") -> list[str]:
    """The domains that an option of this name lists.

    Raises:
        GraftError: One does not exist or is listed twice; all such are listed.
    """
    from graft.scenes import DOMAINS

    names = [name.strip() for name in (domain.split(",") if isinstance(domain, str) else domain)]
    problems = [f"{name!r}: {suggest(name, DOMAINS)}" for name in names if name not in DOMAINS]
    problems += [f"{name!r} is listed twice" for name in sorted({name for name in names if names.count(name) > 1})]
    if problems or not names:
        raise GraftError.of_all(
            f"ingest.source.{option}: domains scenes cannot draw", problems, remedy=f"use some of {', '.join(DOMAINS)}"
        )
    return names


def _class_map(task: str, domains: list[str]) -> ClassMap:
    from graft.scenes import CLASS_COLOURS, CLASSES

    names = tuple(domains) if task == "classification" else tuple(CLASSES)
    return ClassMap(
        task=task,
        names=names,
        colors=distinct_colours(len(names)) if task == "classification" else tuple(CLASS_COLOURS),
        source_values=names if task == "classification" else tuple(range(len(names))),
        official_splits=True,
        synthetic=True,
        source="scenes",
        licence="Apache-2.0",
    )
