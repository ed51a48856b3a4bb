"""Fine-tune: train the pretrained model on the views and keep the epoch that is best on val; from scratch beside it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.adaptation import STRATEGIES, supervised
from graft.checkpoints import ModelSpec, disagreements, load_state, save_model
from graft.choices import Choice, resolve
from graft.class_weights import class_weights
from graft.curves import write_curves
from graft.datasets.resizing import RESIZES
from graft.datasets.views import open_views
from graft.errors import GraftError
from graft.fitting import SCORE_NAMES, Fitting, Outcome
from graft.held_out import SCORES, HeldOut
from graft.losses import WeightedSum, resolve_losses
from graft.models import Model, fresh, resolve_model
from graft.sample import ClassMap, content_seed, read_json, write_json

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
    statistics, card = read_json(augmented / "statistics.json"), read_json(pretrained / "card.json")
    weights = class_weights(fine_tune.class_weights, statistics["class_pixels_before"])
    loss = WeightedSum(resolve_losses(fine_tune.losses), weights)
    strategy = resolve(STRATEGIES, fine_tune.strategy, where="fine_tune.strategy")
    network = fresh(task, architecture, classes.num_classes, content_seed(seed, "scratch"))
    spec = spec_of(task, architecture, preprocess, classes, card, network)
    held_out = HeldOut(val, spec, classes.num_classes, loss, fine_tune.batch_size)
    views = open_views(augmented, task)
    fitting = Fitting(seed, fine_tune, runtime, views, held_out, spec, resume, listen)

    outcomes = {}
    pretrained_network = with_weights(copy.deepcopy(network), pretrained / "weights.safetensors")
    adapting = strategy(loss.to(runtime.device))
    outcomes["fine_tuned"] = fitting.run("fine_tuned", pretrained_network, adapting, fine_tune.learning_rate)
    if fine_tune.baseline:
        everything = supervised(loss.to(runtime.device), train="all")
        outcomes["baseline"] = fitting.run("baseline", network, everything, fine_tune.baseline_learning_rate)

    for name, outcome in outcomes.items():
        folder = out if name == "fine_tuned" else out / name
        folder.mkdir(exist_ok=True)
        save_model(folder, outcome.state, spec)
    seen = {"train": sorted(set(views.image_sha256)), "val": sorted(set(held_out.image_sha256))}
    write_json(out / "seen.json", seen)
    write_curves(curves, {name: outcome.reports for name, outcome in outcomes.items()}, SCORE_NAMES[task])
    options = {
        "strategy": strategy.as_dict(),
        "losses": loss.as_list(),
        "class_weights": {"kind": fine_tune.class_weights, "weights": None if weights is None else weights.tolist()},
        "score": SCORES[task],
        "pretrained": card["name"],
    }
    write_json(curves / "summary.json", {**options, "runs": {name: o.summary for name, o in outcomes.items()}})
    return headline(task, outcomes)


def spec_of(
    task: str, architecture: Choice, preprocess: Preprocess, classes: ClassMap, card: dict[str, Any], network: Model
) -> ModelSpec:
    """All it takes, beside the weights, to turn an image into logits."""
    return ModelSpec(
        task=task,
        model=architecture.as_dict(),
        num_classes=classes.num_classes,
        class_names=classes.names,
        mean=tuple(card["mean"]),
        std=tuple(card["std"]),
        resize=resolve(RESIZES, preprocess.resize, where="preprocess.resize").as_dict(),
        padding_multiple=network.padding_multiple,
        synthetic=classes.synthetic,
    )


def with_weights(network: Model, path: Path) -> Model:
    """The network with the weights of a file, all of them."""
    state, _ = load_state(path)
    if problems := disagreements(network.state_dict(), state):
        what = f"{path}: not the weights of the model in params.yaml"
        raise GraftError.of_all(what, problems[:5], remedy="run dvc repro, which loads the weights of this model first")
    network.load_state_dict(state)
    return network


def headline(task: str, outcomes: dict[str, Outcome]) -> dict[str, float]:
    """The best val score of each run and the epoch it was reached in."""
    scores = {f"{name}.val_{SCORES[task]}": outcome.best.val_score for name, outcome in outcomes.items()}
    return scores | {f"{name}.best_epoch": float(outcome.best.epoch) for name, outcome in outcomes.items()}
