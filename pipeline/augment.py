"""Stage 3, augment: makes the training views once, with their statistics and a preview sheet.

Reads the train shards, those of unlabelled images if `augment.unlabelled` names them, the class map and the validation
report; the pretrained weights if `augment.parent` names them, to choose a memory of earlier images by.
Writes the views (with `storage: online`, the rows they are made from), `policy.json`, `statistics.json`,
`class_counts.npy`, `index.json` and `preview.png`; in `unlabelled/` weak views of the unlabelled images.
Stops when the data has not passed validation, a mask gains a value it did not have, unlabelled images are named and
there are none, a memory lacks the weights it is chosen by, or the disk is full.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from graft.data.augmentations import POLICIES, contradictions, seeks_rare_classes, serialise
from graft.data.augmented.preview import keep_shown, preview
from graft.data.augmented.statistics import class_shares, no_counts, statistics, void_fraction
from graft.data.augmented.view_files import explain_full_disk, make_views, training_rows
from graft.data.memory import MEMORIES, NO_PARENT, Impression, list_by_delivery, parent_problem
from graft.data.resize import RESIZES
from graft.data.shards import Row, num_rows, read_rows
from graft.data.views.view import UNLABELLED_VIEWS, Recipe, index_of
from graft.foundation.choices import resolve
from graft.foundation.class_map import UNLABELLED, ClassMap
from graft.foundation.content import read_json, write_json
from graft.foundation.errors import GraftError
from graft.foundation.progress import progress

if TYPE_CHECKING:
    from graft.params.sections import Augment, Preprocess


def augment(
    *,
    task: str,
    seed: int,
    preprocess: Preprocess,
    augment: Augment,
    train: Path,
    unlabelled: Path,
    class_map: Path,
    validation: Path,
    parent: Path,
    out: Path,
) -> dict[str, float]:
    """Makes `augment.views` views of each chosen training row; returns how many of what, and the void share."""
    refuse_unless_passed(validation)
    refuse_unless_there(unlabelled, augment.unlabelled)
    classes, shown = ClassMap.read(class_map), list[Row]()
    numbers = choose_images(augment, preprocess, train, seed, parent, classes)
    listed = {} if numbers is None else list_by_delivery(train, numbers)
    total = num_rows(train) if numbers is None else len(numbers)
    recipe = recipe_of(task, seed, preprocess, augment, classes)
    recipe = with_class_shares(recipe, read_rows(train, numbers), total, classes)
    rows = keep_shown(training_rows(recipe, train, out, numbers), total, shown)
    ids, sha256, counts = [], [], no_counts(classes)
    made = make_views(recipe, rows, total, classes, out)
    for item in progress(made, "Making training views", total=total, unit="image"):
        ids.append(item.id)
        sha256.append(item.image_sha256)
        counts += item.counts
    stats = statistics(counts, classes, recipe.num_views, ids, sha256)
    with explain_full_disk(out):
        write_json(out / "policy.json", {"recipe": asdict(recipe), "transforms": serialise(recipe.compose())})
        write_json(out / "statistics.json", stats)
        write_json(out / "index.json", index_of(recipe, ids, sha256, remembered_in(listed, augment)))
        if numbers is not None:
            write_json(out / "memory.json", listed)
        preview(recipe, shown, classes, stats).save(out / "preview.png")
    made_of = {"num_images": total, "num_views": total * recipe.num_views, "void_fraction": void_fraction(stats)}
    weak = replace(recipe, weak=True, num_views=augment.unlabelled_views, class_shares=())
    return made_of | make_weak_views(weak, unlabelled, classes, out)


def choose_images(
    augment: Augment, preprocess: Preprocess, train: Path, seed: int, parent: Path, classes: ClassMap
) -> frozenset[int] | None:
    """The numbers of the training rows that get views; None where all do."""
    memory = resolve(MEMORIES, augment.memory, where="augment.memory")
    if problem := parent_problem(memory, augment.parent):
        raise problem
    resize = resolve(RESIZES, preprocess.resize, where="preprocess.resize").as_dict()

    def look(numbers: Set[int]) -> Mapping[int, Impression]:
        from graft.training.impressions import Pretrained, impressions

        pretrained = Pretrained.read(parent, classes, resize)
        if memory.options["choice"] == "loss":
            pretrained.refuse_unknown_classes()
        found = impressions(pretrained, read_rows(train, numbers), len(numbers))
        told = progress(found, "Looking at earlier images", total=len(numbers), unit="image")
        return dict(zip(sorted(numbers), told, strict=True))

    return memory(train, seed, None if augment.parent == NO_PARENT else look)


def remembered_in(listed: Mapping[str, Mapping[str, str]], augment: Augment) -> dict[str, Set[str]]:
    """The ids of images of a memory, by delivery: those that are listed and of none that is to be learnt.

    A memory that knows nothing of new deliveries learns all that it lists, and remembers none.
    """
    new = resolve(MEMORIES, augment.memory, where="augment.memory").options.get("new", listed)
    return {delivery: images.keys() for delivery, images in listed.items() if delivery not in new}


def make_weak_views(recipe: Recipe, unlabelled: Path, classes: ClassMap, out: Path) -> dict[str, float]:
    """Makes the views of the unlabelled images, if there are any; returns the number of images and of views."""
    total, folder = num_rows(unlabelled), out / UNLABELLED_VIEWS
    if not total:
        return {}
    folder.mkdir()
    rows = make_views(recipe, training_rows(recipe, unlabelled, folder), total, classes, folder)
    done = [*progress(rows, "Making views of unlabelled images", total=total, unit="image")]
    ids, sha256 = [row.id for row in done], [row.image_sha256 for row in done]
    with explain_full_disk(out):
        write_json(folder / "policy.json", {"recipe": asdict(recipe), "transforms": serialise(recipe.compose())})
        write_json(folder / "index.json", index_of(recipe, ids, sha256))
    return {"num_unlabelled_images": total, "num_unlabelled_views": total * recipe.num_views}


def refuse_unless_there(unlabelled: Path, named: str) -> None:
    """Refuses to go on without the unlabelled images that `augment.unlabelled` names."""
    if named == UNLABELLED and not num_rows(unlabelled):
        raise GraftError(
            f"augment.unlabelled is {named}, and the source has no unlabelled images",
            where=unlabelled,
            remedy="give it some (ingest.unlabelled, a folder named unlabelled, num_unlabelled of scenes), or set "
            "augment.unlabelled: none",
        )


def recipe_of(task: str, seed: int, preprocess: Preprocess, augment: Augment, classes: ClassMap) -> Recipe:
    """The recipe of the views: all that they depend on, every option resolved."""
    policy = resolve(POLICIES, augment.policy, where="augment.policy")
    if problems := contradictions(policy.as_dict(), task):
        raise GraftError.of_all("a policy that cannot be followed", problems)
    resize = resolve(RESIZES, preprocess.resize, where="preprocess.resize")
    height, width = augment.crop.height_px, augment.crop.width_px
    made = (policy.as_dict(), resize.as_dict(), height, width, augment.views, augment.storage)
    return Recipe(task, seed, *made, classes.channels, classes.max_value)


def with_class_shares(recipe: Recipe, rows: Iterable[Row], total: int, classes: ClassMap) -> Recipe:
    """The recipe, with the share of each class in the labelled training pixels if its crops seek rare classes.

    A view then depends on these shares too; they stand in `policy.json`, so both storages make the same views.
    """
    if not seeks_rare_classes(recipe.policy):
        return recipe
    rows = progress(rows, "Counting rare classes", total=total, unit="image")
    return replace(recipe, class_shares=class_shares((row.mask for row in rows), classes))


def refuse_unless_passed(validation: Path) -> None:
    """Refuses data that failed a critical expectation."""
    report = read_json(validation)
    if not report["passed"]:
        failed = [e for e in report["expectations"] if e["severity"] == "critical" and not e["success"]]
        raise GraftError.of_all(
            f"{validation}: the data did not pass validation",
            [f"{e['name']}: {e['count']} (rule: {e['rule']})" for e in failed],
            remedy=f"read {validation.with_suffix('.md')}, fix the data, or allow it in params.yaml with a reason",
        )
