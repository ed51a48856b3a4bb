"""Stage 5, fine-tune: trains the pretrained model and keeps the epoch that is best on val.

Reads the training views, weak views of unlabelled images if there are any, the val shards, the class map, the
pretrained weights, and the teachers that the strategy pins.
Writes the weights and spec of the model (and of those to compare with: from scratch, and what `adapt` would be without
its steps), `strategy.json` with its strategy and teachers, `seen.json` with the digests of all images that training or
validation looked at, those that pretrain-load learnt from without labels among them, and the learning curves.
Stops when the loss is not finite, the weights are those of another model, or a teacher is not the pinned one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from graft.foundation.class_map import UNLABELLED
from graft.foundation.content import write_json
from graft.models.pins import Downloader, no_download
from graft.training.outcome import headline_scores, write_learning, write_measured, write_models
from graft.training.start import begin, loss_facts, seen_before, strategy_of
from graft.training.strategies import supervised, without_steps
from graft.training.trainer import Trainer
from graft.training.validation import Validation

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
    download: Downloader = no_download,
) -> dict[str, float]:
    """Trains the model, and those to compare it with; returns the best val score of each and the epoch that reached it.

    Checkpoints go to `resume`, costs to `measured`, the report of each epoch to `listen`; None leaves them out.
    `download` fetches teachers that are registered models.
    """
    start = begin(task, seed, model, preprocess, runtime, fine_tune, augmented, class_map, pretrained, download)
    loss, choice = start.loss.to(start.assembly.device()), strategy_of(fine_tune.strategy, task)
    strategy = choice(loss)
    validation = Validation(val, start.spec, start.loss, fine_tune.batch_size, predict)
    trainer = Trainer(start.assembly, validation, resume, listen)
    outcomes = {"fine_tuned": trainer.run("fine_tuned", start.model(), strategy, fine_tune.learning_rate)}
    if (unadapted := without_steps(choice)) is not None:
        outcomes["source_only"] = trainer.run("source_only", start.model(), unadapted(loss), fine_tune.learning_rate)
    if fine_tune.baseline:
        everything, rate = supervised(loss, train="all"), fine_tune.baseline_learning_rate
        outcomes["baseline"] = trainer.run("baseline", start.from_scratch(), everything, rate)
    write_models(out, outcomes, start.spec)
    seen = {"train": start.assembly.views.image_sha256, "val": validation.image_sha256}
    bare = seen_before(pretrained)
    if (unlabelled := start.assembly.unlabelled) is not None and strategy.looks_at_unlabelled:
        bare += unlabelled.image_sha256
    seen |= {UNLABELLED: bare} if bare else {}
    write_json(out / "seen.json", {split: sorted(set(digests)) for split, digests in seen.items()})
    write_json(out / "strategy.json", choice.as_dict())
    settings = {"strategy": choice.as_dict(), "pretrained": start.card["name"]}
    write_learning(curves, outcomes, task, settings | loss_facts(fine_tune, start.loss))
    if measured is not None:
        write_measured(measured, outcomes)
    return headline_scores(task, outcomes)
