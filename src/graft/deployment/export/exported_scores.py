"""The scores of the exported file itself, where evaluate scored other weights or another precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.data.shards import num_rows, read_rows
from graft.deployment.export.parity import score_difference
from graft.evaluation.scores import Contender, Tally, score_rows
from graft.evaluation.test_time import PLAIN, is_plain
from graft.foundation.progress import progress
from graft.inference.image_to_logits import Runner
from graft.metrics.summaries import GAINS, stack, summarise
from graft.models.saved_model import ModelSpec

if TYPE_CHECKING:
    from graft.params.sections import Evaluate, Predict


@dataclass(frozen=True)
class EvaluationSetup:
    """Setup of evaluate, to score again in the same way: split, settings, and the draws for its intervals.

    Attributes:
        task: `segmentation` or `classification`.
        images: The shards of the split.
        names: The K classes.
        seed: Seed of the draws.
        evaluate: Batch size, number of draws, bins of calibration, band of outlines, test-time augmentation.
        predict: Rule by which large images are tiled.
    """

    task: str
    images: Path
    names: Sequence[str]
    seed: int
    evaluate: Evaluate
    predict: Predict

    def of_file(
        self, file: Runner, original: Runner | None, spec: ModelSpec, evaluated: Mapping[str, Any], precision: str
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The metrics of the exported file, and what rounding its weights cost.

        They are those of evaluate where that scored the same weights in the same precision, each image as it is. Where
        not, the split is scored again; gains over other models, whose intervals evaluate drew, are then left out, and
        so are other models that were scored with test-time augmentation.

        Args:
            file: Runner of the exported file, which computes in float32.
            original: Runner of the weights before they were rounded; None where they were not.
            spec: Spec of both.
            evaluated: Content of metrics.json.
            precision: Precision that evaluate computed in.

        Returns:
            The content of metrics.json, and `{"rounding": …}` for parity.json, empty without rounding.
        """
        comparable = is_plain(self.evaluate.test_time)
        if original is None and precision == "float32" and comparable:
            return dict(evaluated), {}
        runners = {"exported": file} | ({} if original is None else {"original": original})
        found = self._scores_of(runners, spec)
        left_out = [*GAINS.values(), *(() if comparable else GAINS)]
        metrics = {name: value for name, value in evaluated.items() if name not in left_out} | found["exported"]
        if original is None:
            return metrics | {"test_time": PLAIN}, {}
        rounding = score_difference(self.task, found["original"], found["exported"])
        return metrics | {"test_time": PLAIN}, {"rounding": rounding}

    def _scores_of(self, runners: Mapping[str, Runner], spec: ModelSpec) -> dict[str, dict[str, Any]]:
        """Every score of each runner with its interval, and the other counts, as metrics.json has them."""
        contenders = {name: Contender.with_counters(runner, spec, self.evaluate) for name, runner in runners.items()}
        tally = Tally(contenders)
        settings: dict[str, Any] = {"num_samples": self.evaluate.bootstrap_samples, "seed": self.seed}
        rows = progress(read_rows(self.images), "Scoring the file", total=num_rows(self.images), unit="image")
        for scored in score_rows(rows, contenders, self.evaluate.batch_size, self.predict):
            tally.add(scored)
        found = {}
        for name, counted in tally.images.items():
            groups = (tally.domains, tally.deliveries)
            summary = summarise(stack(counted), *groups, task=self.task, names=self.names, **settings)
            found[name] = summary | contenders[name].findings()
        return found
