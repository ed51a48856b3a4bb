"""Fine-tune: train the pretrained model on the views and keep the epoch that is best on val; from scratch beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from graft.foundation.choices import resolve
from graft.foundation.content import write_json
from graft.training.outcome import headline, write_learning, write_measured, write_models
from graft.training.run import Fitting
from graft.training.start import begin, loss_facts
from graft.training.strategies import STRATEGIES, supervised
from graft.training.validation import HeldOut

if TYPE_CHECKING:
    from graft.params.sections import FineTune, Predict, Preprocess, Runtime
    from graft.training.state import EpochReport


def fine_tune(
    *,
    task: str,
    seed: int,
    model: str | dict,
    preprocess: Preprocess,
    runtime: Runtime,
    predict: Predict,
    fine_tune: FineTune,
    augmented: Path,
    val: Path,
    class_map: Path,
    pretrained: Path,
    out: Path,
    curves: Path,
    resume: Path | None = None,
    measured: Path | None = None,
    listen: Callable[[str, EpochReport], None] | None = None,
) -> dict[str, float]:
    """Writes the best weights of the run (and of the from-scratch baseline), which images were seen, and the curves.

    What the epochs and torch.compile cost goes to `measured`, if that is a file to write.
    """
    beginning = begin(task, seed, model, preprocess, runtime, fine_tune, augmented, class_map, pretrained)
    spec, views = beginning.spec, beginning.bench.views
    on_device = beginning.loss.to(beginning.bench.device())
    strategy = resolve(STRATEGIES, fine_tune.strategy, where="fine_tune.strategy")
    held_out = HeldOut(val, spec, beginning.loss, fine_tune.batch_size, predict)
    fitting = Fitting(beginning.bench, held_out, resume, listen)

    start = beginning.model()
    outcomes = {"fine_tuned": fitting.run("fine_tuned", start, strategy(on_device), fine_tune.learning_rate)}
    if fine_tune.baseline:
        everything = supervised(on_device, train="all")
        rate = fine_tune.baseline_learning_rate
        outcomes["baseline"] = fitting.run("baseline", beginning.from_scratch(), everything, rate)

    write_models(out, outcomes, spec)
    write_json(out / "seen.json", {"train": sorted(set(views.image_sha256)), "val": sorted(set(held_out.image_sha256))})
    made_of = {"strategy": strategy.as_dict(), "pretrained": beginning.card["name"]}
    write_learning(curves, outcomes, task, made_of | loss_facts(fine_tune, beginning.loss))
    if measured is not None:
        write_measured(measured, outcomes)
    return headline(task, outcomes)
