"""Stage 6, evaluate: scores the fine-tuned model, and the baseline, on images that neither has seen.

Reads the shards of the split, the class map, both models, the curves, the validation report and the statistics.
Writes `metrics.json` and the few scores of it that DVC shows, `headline.json`; `per_image.parquet`, `confusion.csv` and
`classes.csv`, the same as plots, and `report.html`; `reference.parquet`, with which `graft drift` compares new images.
Stops when an image of the split was seen in training, or the split has no labelled pixel.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from graft.data.shards import read_rows
from graft.evaluation.reference import Reference
from graft.evaluation.report.examples import Examples
from graft.evaluation.report.report_page import ReportContent, write_report
from graft.evaluation.report.results import compute_metrics, flatten_headlines, write_headline, write_tables
from graft.evaluation.report.sources import input_files, refuse_seen
from graft.evaluation.report.tables import PerImageTable
from graft.evaluation.scores import Contender, Tally, score_rows
from graft.evaluation.test_time import average_views, is_plain
from graft.foundation.class_map import UNLABELLED, ClassMap
from graft.foundation.content import content_seed, read_json, write_json
from graft.foundation.progress import progress
from graft.inference.embedding import FeaturePredictor, FeatureTap
from graft.inference.runtime import use_runtime
from graft.inference.torch_runner import torch_runner
from graft.models.saved_model import MODEL_NAMES, load_model, model_folder

if TYPE_CHECKING:
    from graft.params.sections import Evaluate, Predict, Report, Runtime


def evaluate(
    *,
    task: str,
    seed: int,
    runtime: Runtime,
    predict: Predict,
    evaluate: Evaluate,
    report: Report,
    images: Path,
    class_map: Path,
    model: Path,
    curves: Path,
    validation: Path,
    statistics: Path,
    out: Path,
) -> dict[str, float]:
    """Scores each image once with both models; returns the headline scores of each, and the gain."""
    classes = ClassMap.read(class_map)
    seen = read_json(model / "seen.json")
    digests = refuse_seen(images, {*seen["train"], *seen.get(UNLABELLED, ())}, evaluate.split)
    contenders = _contenders(model, runtime, evaluate, predict)
    reference = Reference(
        classes, digests, None if is_plain(evaluate.test_time) else _predictor(model, runtime, predict)
    )
    tally, examples = Tally(contenders), Examples(classes, report.num_examples)
    rows = progress(read_rows(images), "Scoring images", total=len(digests), unit="image")
    with PerImageTable(out / "per_image.parquet") as table:
        for scored in score_rows(rows, contenders, evaluate.batch_size, predict):
            tally.add(scored)
            table.add(scored)
            examples.offer(scored)
            reference.offer(scored)
    reference.write(out)
    metrics = compute_metrics(tally, contenders, classes, evaluate, content_seed(seed, "bootstrap"))
    write_json(out / "metrics.json", metrics)
    write_headline(out / "headline.json", metrics, task)
    write_tables(out, tally, metrics, classes)
    inputs = input_files([images, class_map, model, curves, validation, statistics])
    content = ReportContent(metrics, classes, contenders, tally, examples, evaluate, inputs)
    write_report(out / "report.html", content, curves, read_json(validation), read_json(statistics))
    return flatten_headlines(metrics, task)


def _contenders(model: Path, runtime: Runtime, evaluate: Evaluate, predict: Predict) -> dict[str, Contender]:
    device = use_runtime(runtime)
    contenders = {}
    for run in MODEL_NAMES:
        if (folder := model_folder(model, run)).is_dir():
            network, spec = load_model(folder)
            runner = torch_runner(
                network, spec, device=device, precision=runtime.precision, channels_last=runtime.channels_last
            )
            runner = average_views(runner, spec, evaluate.test_time, predict)
            tap = FeatureTap(network) if run == "fine_tuned" and is_plain(evaluate.test_time) else None
            contenders[run] = Contender.with_counters(runner, spec, evaluate, tap)
    return contenders


def _predictor(model: Path, runtime: Runtime, predict: Predict) -> FeaturePredictor:
    """The fine-tuned model as it sees an image once."""
    return FeaturePredictor(*load_model(model), predict, device=use_runtime(runtime))
