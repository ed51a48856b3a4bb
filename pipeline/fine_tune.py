"""Fine-tune: train the pretrained model on the views and keep the epoch that is best on val; from scratch beside it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from graft.adaptation import STRATEGIES, supervised
from graft.assembling import Bench
from graft.choices import resolve
from graft.datasets.views import open_views
from graft.fitting import Fitting
from graft.held_out import HeldOut
from graft.models import fresh, resolve_model
from graft.outcomes import headline, write_learning, write_models
from graft.runtimes import use_runtime
from graft.sample import ClassMap, content_seed, read_json, write_json
from graft.starting import loss_facts, loss_of, spec_of, with_weights

if TYPE_CHECKING:
    from graft.params import FineTune, Preprocess, Runtime
    from graft.trainee import EpochReport


def fine_tune(
    *,
    task: str,
    seed: int,
    model: str | dict,
    preprocess: Preprocess,
    runtime: Runtime,
    fine_tune: FineTune,
    augmented: Path,
    val: Path,
    class_map: Path,
    pretrained: Path,
    out: Path,
    curves: Path,
    resume: Path | None = None,
    listen: Callable[[str, EpochReport], None] | None = None,
) -> dict[str, float]:
    """Writes the best weights of the run (and of the from-scratch baseline), which images were seen, and the curves."""
    classes, architecture = ClassMap.read(class_map), resolve_model(task, model)
    card, statistics = read_json(pretrained / "card.json"), read_json(augmented / "statistics.json")
    loss = loss_of(fine_tune, statistics)
    on_device = loss.to(use_runtime(runtime))
    strategy = resolve(STRATEGIES, fine_tune.strategy, where="fine_tune.strategy")
    scratch = fresh(task, architecture, classes.num_classes, content_seed(seed, "scratch"), len(classes.channels))
    spec = spec_of(task, architecture, preprocess, classes, card, statistics, scratch)
    views, held_out = open_views(augmented, task), HeldOut(val, spec, classes.num_classes, loss, fine_tune.batch_size)
    fitting = Fitting(Bench(seed, fine_tune, runtime, views, spec), held_out, resume, listen)

    start = with_weights(copy.deepcopy(scratch), pretrained / "weights.safetensors")
    outcomes = {"fine_tuned": fitting.run("fine_tuned", start, strategy(on_device), fine_tune.learning_rate)}
    if fine_tune.baseline:
        everything = supervised(on_device, train="all")
        outcomes["baseline"] = fitting.run("baseline", scratch, everything, fine_tune.baseline_learning_rate)

    write_models(out, outcomes, spec)
    write_json(out / "seen.json", {"train": sorted(set(views.image_sha256)), "val": sorted(set(held_out.image_sha256))})
    made_of = {"strategy": strategy.as_dict(), "pretrained": card["name"], **loss_facts(fine_tune, loss)}
    write_learning(curves, outcomes, task, made_of)
    return headline(task, outcomes)
