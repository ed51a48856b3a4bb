"""The proof of a ranking: the best candidates fine-tuned briefly on the data that is here."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.foundation.content import content_digest, digest_of, read_json, replace_file, write_json
from graft.foundation.errors import GraftError
from graft.foundation.progress import progress, say
from graft.metrics.confusion import HEADLINE
from graft.params.brief_training import shorten
from graft.params.sections import FineTune, Params
from graft.provenance.stages import AUGMENTED, CLASS_MAP, INTERIM
from graft.selection.candidates import Candidate
from graft.selection.ranking import RankedCandidate

FOLDER = Path("reports/selection/verified")
RESUME = Path(".resume")


@dataclass(frozen=True)
class Stages:
    """The two stages that a fine-tuning needs, as functions."""

    pretrain_load: Callable[..., dict[str, float]]
    fine_tune: Callable[..., dict[str, float]]


@dataclass(frozen=True)
class Workspace:
    """Places of the files that training reads."""

    augmented: Path = Path(AUGMENTED)
    val: Path = Path(INTERIM, "val")
    class_map: Path = Path(CLASS_MAP)

    def check(self) -> None:
        """Refuses to start if a stage has not written its part yet."""
        needed = [self.augmented / "index.json", self.class_map, self.val]
        if missing := [str(path) for path in needed if not path.exists()]:
            raise GraftError(
                f"not here: {', '.join(missing)}",
                rule="--verify fine-tunes on the views and val images that fine-tune would use",
                remedy="run dvc repro augment",
            )


def verify(
    best: Sequence[RankedCandidate],
    params: Params,
    epochs: int,
    stages: Stages,
    workspace: Workspace,
    *,
    folder: Path = FOLDER,
    **downloads: Any,
) -> str:
    """Fine-tunes candidates for a few epochs and sets `verified` of each to its best val score.

    `fine_tune` of `params.yaml` applies, but for the baseline and for what needs more epochs (see `shorten`). Results
    are kept by the digest of all they depend on, and an interrupted training resumes where it was.

    Args:
        best: The candidates.
        params: Params of the project.
        epochs: Number of epochs of each.
        stages: The stage functions.
        workspace: Files that they read.
        folder: Folder in which the results are kept.
        downloads: Keyword `download`, for registered models.

    Returns:
        A sentence on how they were trained.
    """
    brief, said = shorten(params.fine_tune, epochs)
    say(said)
    data = {"augmented": digest_of(workspace.augmented), "val": digest_of(workspace.val)}
    for one in progress(best, "Fine-tuning candidates", unit="candidate"):
        facts = _facts(one.candidate, params, brief) | data
        file = folder / f"{content_digest(facts)}.json"
        if not file.is_file():
            score = _train(one.candidate, params, brief, stages, workspace, RESUME / file.stem, downloads)
            with replace_file(file) as pending:
                write_json(pending, facts | {"score": score})
            shutil.rmtree(RESUME / file.stem, ignore_errors=True)
        one.verified = read_json(file)["score"]
    return said


def _facts(candidate: Candidate, params: Params, brief: FineTune) -> dict[str, Any]:
    """All that the result of a brief fine-tuning depends on, the data apart."""
    facts = {"fine_tune": brief.model_dump(), "preprocess": params.preprocess.model_dump(), "seed": params.seed}
    facts |= {"runtime": params.runtime.model_dump(), "predict": params.predict.model_dump()}
    return facts | {"candidate": candidate.as_dict()}


def _train(
    candidate: Candidate,
    params: Params,
    brief: FineTune,
    stages: Stages,
    workspace: Workspace,
    resume: Path,
    downloads: dict[str, Any],
) -> float:
    """Fine-tunes a candidate briefly and returns its best val score."""
    model = candidate.model.as_dict()
    loading = params.pretrain_load.model_copy(update={"source": candidate.source.as_dict(), "images": "none"})
    both = {"task": params.task, "seed": params.seed, "model": model, "class_map": workspace.class_map}
    with tempfile.TemporaryDirectory() as name:
        places = {part: Path(name) / part for part in ("pretrained", "model", "curves")}
        for place in places.values():
            place.mkdir()
        without = {"runtime": params.runtime, "images": workspace.class_map.parent / "none"}
        stages.pretrain_load(**both, **without, pretrain_load=loading, out=places["pretrained"], **downloads)
        found = stages.fine_tune(
            **both,
            preprocess=params.preprocess,
            runtime=params.runtime,
            predict=params.predict,
            fine_tune=brief,
            augmented=workspace.augmented,
            val=workspace.val,
            pretrained=places["pretrained"],
            out=places["model"],
            curves=places["curves"],
            resume=resume,
        )
    return found[f"fine_tuned.val_{HEADLINE[params.task]}"]
