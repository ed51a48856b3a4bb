"""A trial of one attempt: its stages run in the copy, its file is scored on val and timed beside the origin's."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from graft.commands.shrink.goal import Outcome
from graft.commands.shrink.origin import Origin
from graft.commands.shrink.plan import Attempt, apply
from graft.commands.shrink.project_copy import ProjectCopy
from graft.data.images.stacks import decode
from graft.data.shards import num_rows, read_rows
from graft.deployment.export.exported_model import (
    TARGET_FILES,
    ExportedModel,
    classifier_of,
    open_exported,
)
from graft.deployment.export.latency import time_in_turns
from graft.deployment.export.parity import spread_rows
from graft.evaluation.scores import Contender, Tally, score_rows
from graft.foundation.class_map import ClassMap
from graft.foundation.content import content_digest, digest_of, read_json, replace_file, write_json
from graft.foundation.errors import GraftError
from graft.foundation.progress import progress
from graft.inference.image_to_logits import prepare
from graft.metrics.confusion import HEADLINE, HEADLINES
from graft.metrics.summaries import stack, total
from graft.params.examination import check_file
from graft.params.yaml_tree import dump_tree, plain, write_text
from graft.provenance.dvc_cache import md5_in_workspace
from graft.provenance.seal import describe_environment
from graft.provenance.stages import CLASS_MAP, EXPORTED, INTERIM

if TYPE_CHECKING:
    from ruamel.yaml.comments import CommentedMap

    from graft.params.sections import Params

VAL = Path(INTERIM, "val")
# `dvc repro` of what trains, with the split that the project evaluates, as validate judges that; then of what judges.
TO_TRAIN, TO_JUDGE = ("fine-tune",), ("--single-item", "evaluate", "export")
# What an attempt evaluates and exports on, whatever the project does in the end: no attempt opens test.
ON_VAL = {"evaluate.split": "val"}


@dataclass(frozen=True)
class Bench:
    """The place of all trials of one command.

    Attributes:
        params: Params of the project.
        tree: The same as a tree.
        origin: Model that is shrunk.
        folder: Folder in which the results are kept.
        num_threads: Number of threads that models are timed on.
    """

    params: Params
    tree: CommentedMap
    origin: Origin
    folder: Path
    num_threads: int = 1

    def check(self, attempt: Attempt) -> None:
        """Refuses an attempt whose params break a rule, before anything runs.

        Raises:
            GraftError: They do; everything that is wrong is listed.
        """
        file = self.folder / "attempt.yaml"
        write_text(file, dump_tree(self.tree_of(attempt)))
        check_file(file)

    def tree_of(self, attempt: Attempt) -> CommentedMap:
        """The params that an attempt is evaluated and exported with."""
        return apply(self.tree, {**attempt.changes, **ON_VAL})

    def key_of(self, attempt: Attempt) -> str:
        """The digest of all that the result of an attempt depends on."""
        facts = {"params": plain(self.tree_of(attempt)), "target": attempt.target, "threads": self.num_threads}
        return content_digest(facts | self._surroundings)[:16]

    def kept(self, attempt: Attempt) -> Outcome | None:
        """The outcome of an attempt that has been tried before; None if it has not."""
        file = self._file_of(self.key_of(attempt))
        return Outcome(**read_json(file)) if file.is_file() else None

    def run(self, attempt: Attempt, copy: ProjectCopy, deadline: float | None) -> Outcome:
        """Tries an attempt and keeps its outcome, and the exported files.

        Args:
            attempt: The attempt.
            copy: Copy of the project.
            deadline: Moment of `time.monotonic` when it is ended; None never.

        Raises:
            GraftError: Its params break a rule, or a stage stopped.
            OutOfTimeError: The deadline came.
        """
        key = self.key_of(attempt)
        self.check(attempt)
        for targets, tree in ((TO_TRAIN, apply(self.tree, attempt.changes)), (TO_JUDGE, self.tree_of(attempt))):
            copy.reproduce(tree, targets, self.folder / f"{key}-{targets[-1]}.log", deadline)
        exported = self.folder / key
        shutil.rmtree(exported, ignore_errors=True)
        shutil.copytree(copy.folder / EXPORTED, exported)
        score, milliseconds = self.score(exported, attempt.target), self._time(exported, attempt.target)
        outcome = Outcome(
            name=attempt.name,
            key=key,
            score=score,
            latency_ms=milliseconds["attempt"],
            origin_score=self.origin_score,
            origin_ms=milliseconds["origin"],
            num_bytes=(exported / TARGET_FILES[attempt.target]).stat().st_size,
        )
        with replace_file(self._file_of(key)) as pending:
            write_json(pending, asdict(outcome))
        return outcome

    @cached_property
    def origin_score(self) -> float:
        """The headline score of the origin on val.

        Raises:
            GraftError: It knows other classes than the data here.
        """
        known, wanted = ClassMap.read(self.origin.folder / "class_map.json").names, ClassMap.read(Path(CLASS_MAP)).names
        if tuple(known) != tuple(wanted):
            raise GraftError(
                f"its classes are {', '.join(known)}; those of the data here are {', '.join(wanted)}",
                where=self.origin.said,
                rule="attempts are compared with it on the same classes",
                remedy="graft update, or train and promote a model on this data, then shrink that",
            )
        return self.score(self.origin.folder, "onnx")

    def score(self, folder: Path, target: str) -> float:
        """The headline score of an exported file on all of val.

        Raises:
            GraftError: The file or an image cannot be read, or no label is there.
        """
        model = open_exported(folder, num_threads=self.params.runtime.num_threads, target=target)
        contenders = {target: Contender(model.runner, model.spec)}  # type: ignore[arg-type]
        tally, task = Tally(contenders), self.params.task
        rows = progress(read_rows(VAL), "Scoring val", total=num_rows(VAL), unit="image")
        for scored in score_rows(rows, contenders, self.params.evaluate.batch_size, self.params.predict):
            tally.add(scored)
        found = float(getattr(total(stack(tally.images[target])), HEADLINES[task][HEADLINE[task]]))
        if np.isnan(found):
            raise GraftError("no image of val is labelled", where=VAL, rule="attempts are compared on val")
        return found

    def _time(self, folder: Path, target: str) -> dict[str, float]:
        """Milliseconds from the decoded first image of val to class ids, of an exported file and of the origin's."""
        first = spread_rows(VAL, 1)[0].image
        ways = {"origin": (self.origin.folder, "onnx"), "attempt": (folder, target)}
        return time_in_turns({name: self._way(*which, first) for name, which in ways.items()}, "Timing in turns")

    def _way(self, folder: Path, target: str, first: bytes) -> Callable[[], Any]:
        model = open_exported(folder, num_threads=self.num_threads, target=target)
        classify = classifier_of(folder / TARGET_FILES[target], self.num_threads)
        return partial(self._classify, classify, decode(first, model.spec), model)

    def _classify(self, classify: Callable[[np.ndarray], np.ndarray], image: np.ndarray, model: ExportedModel) -> None:
        classify(prepare(image, model.spec, max_pixels=self.params.predict.max_pixels)[None])

    @cached_property
    def _surroundings(self) -> dict[str, Any]:
        """All that an outcome depends on besides params: digests of code, data and origin, libraries and processor."""
        code = {name: digest_of(Path(name)) for name in ("src/graft", "pipeline")}
        data = {name: md5_in_workspace(Path(INTERIM, name)) for name in ("train", "val", "unlabelled")}
        environment = describe_environment(self.params.runtime)
        return {"code": code, "data": data, "origin": self.origin.digest, "environment": environment}

    def _file_of(self, key: str) -> Path:
        return self.folder / f"{key}.json"
