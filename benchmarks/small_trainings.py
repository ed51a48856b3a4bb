"""Small trainings by the stage functions, out of sources that are read once, and the scores of what they come to."""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.domains import DOMAINS, change_default_job
from benchmarks.figures import Figure, Options
from graft.data.shards import read_rows
from graft.evaluation.scores import Contender, Tally, score_rows
from graft.foundation.class_map import ClassMap
from graft.foundation.content import sha256_of
from graft.foundation.progress import say
from graft.inference.torch_runner import torch_runner
from graft.metrics.confusion import Marginals, json_number
from graft.models.saved_model import WEIGHTS_FILE, load_model
from graft.params.sections import Params
from pipeline.augment import augment
from pipeline.fine_tune import fine_tune
from pipeline.ingest import ingest
from pipeline.pretrain_load import pretrain_load
from pipeline.validate import validate

SIZE = {"width_px": 128, "height_px": 96}
COUNTS, OF_QUICK = {"num_train": 60, "num_val": 16, "num_test": 40}, {"num_train": 8, "num_val": 4, "num_test": 4}
CLIPS = ("0006R0", "0016E5", "0001TP")  # of CamVid: two by day, one at dusk
KEPT_ASIDE = {"val_stretch": 0.15, "test_stretch": 0.2}
NEXT_FRAMES = {"expectation": "near_duplicates", "images": "*", "reason": "where a stretch ends, the next begins"}
REAL = {
    "preprocess.resize": {"name": "short_side", "size_px": SIZE["height_px"]},
    "validate.allow": [NEXT_FRAMES],
}


def drawn(domain: str | list[str], **options: Any) -> dict[str, Any]:
    """The source of drawn streets in a light and weather."""
    return {"name": "scenes", "domain": domain, **COUNTS, **SIZE, **options}


def filmed(**options: Any) -> dict[str, Any]:
    """The source of drives of CamVid, of each of which the end is kept aside in one piece."""
    return {"name": "camvid", **KEPT_ASIDE, **options}


def is_here(what: str, source: Mapping[str, Any], options: Options) -> bool:
    """Whether the images of a source are drawn, or lie in a folder that the command line names."""
    if source["name"] != "camvid":
        return True
    if options.camvid is None:
        say(f"{what} is left out: name its folder with --{DOMAINS['camvid'].folder}")
    elif not options.camvid.is_dir():
        raise SystemExit(f"benchmarks: --camvid: there is no folder {options.camvid}")
    return options.camvid is not None


def processor_seconds() -> float:
    """The processor time of this process and of the workers that have ended; a busy machine does not change it."""
    return sum(os.times()[:4])


def read_source(name: str, source: Mapping[str, Any], ingested: Path, split_seed: int, options: Options) -> None:
    """Ingests a delivery unless it is there; drawn images are those of no other seed."""
    out = ingested / name
    if out.is_dir():
        return
    out.mkdir(parents=True)
    chosen = with_counts(source, OF_QUICK) if options.quick else dict(source)
    root = str(options.camvid) if source["name"] == "camvid" else "data/raw"
    changes = {"ingest.source": chosen, "ingest.split_seed": split_seed, "ingest.batch": name, "ingest.root": root}
    params = change_default_job(changes)
    ingest(task=params.task, ingest=params.ingest, root=Path(params.ingest.root), out=out, front=f"{name}/")


def with_counts(source: Mapping[str, Any], counts: Mapping[str, int]) -> dict[str, Any]:
    """The same source with other numbers of images; of a folder, with another number to train on."""
    if source["name"] == "scenes":
        unlabelled = {"num_unlabelled": counts["num_train"]} if source.get("num_unlabelled") else {}
        return {**source, **counts, **unlabelled}
    if source["name"] == "camvid":
        return {**source, "num_train": counts["num_train"]}
    parts = [{**part, "source": with_counts(part["source"], counts)} for part in source["sources"]]
    return {**source, "sources": parts}


def learn(ingested: Path, work: Path, known: Sequence[str], params: Params, parent: Path | None) -> Path:
    """Trains by the stage functions on the deliveries that are known, unless the model is there; returns its folder."""
    if (work / "model" / WEIGHTS_FILE).is_file():
        return work / "model"
    places = {name: work / name for name in ("interim", "validated", "augmented", "pretrained", "model", "curves")}
    for place in places.values():
        place.mkdir(parents=True)
    first, *later = known
    validate(
        task=params.task,
        validate=params.validate_,
        ingested=ingested,
        interim=places["interim"],
        out=places["validated"],
        batch=first,
        deliveries=dict.fromkeys(later),
    )
    classes = {"class_map": places["interim"] / "class_map.json"}
    both = {"task": params.task, "seed": params.seed}
    if parent is not None:
        weights = parent / WEIGHTS_FILE
        source = {"name": "file", "path": str(weights), "sha256": sha256_of(weights)}
        params = params.model_copy(update={"pretrain_load": params.pretrain_load.model_copy(update={"source": source})})
    pretrain_load(
        **both,
        **classes,
        model=params.model,
        runtime=params.runtime,
        pretrain_load=params.pretrain_load,
        images=places["interim"] / params.pretrain_load.images,
        out=places["pretrained"],
    )
    augment(
        **both,
        **classes,
        preprocess=params.preprocess,
        augment=params.augment,
        train=places["interim"] / "train",
        unlabelled=places["interim"] / params.augment.unlabelled,
        validation=places["validated"] / "validation.json",
        parent=work / params.augment.parent,
        out=places["augmented"],
    )
    fine_tune(
        **both,
        **classes,
        **{name: getattr(params, name) for name in ("model", "preprocess", "runtime", "predict", "fine_tune")},
        **{name: places[name] for name in ("augmented", "pretrained", "curves")},
        val=places["interim"] / "val",
        out=places["model"],
    )
    return places["model"]


def judge(data: Path, model: Path, params: Params) -> dict[str, float | None] | None:
    """The IoU of each class on the test images, None for one that is nowhere; None if the model knows other classes."""
    network, spec = load_model(model)
    if ClassMap.read(data / "class_map.json").names != spec.class_names:
        return None
    contenders = {"model": Contender(torch_runner(network, spec, device=params.runtime.device), spec)}
    tally = Tally(contenders)
    for scored in score_rows(read_rows(data / "test"), contenders, params.evaluate.batch_size, params.predict):
        tally.add(scored)
    return dict(zip(spec.class_names, map(json_number, Marginals.of(tally.confusion["model"]).iou), strict=True))


def mean_iou(by_class: Mapping[str, float | None]) -> float:
    """The mean over the classes that there are."""
    return statistics.fmean(value for value in by_class.values() if value is not None)


def over_seeds(what: str, values: Sequence[float], unit: str, at_least: float | None = None) -> Figure:
    """The mean over the seeds; its spread is one deviation below and above."""
    mean = statistics.fmean(values)
    deviation = statistics.stdev(values) if len(values) > 1 else None
    spread = None if deviation is None else (mean - deviation, mean + deviation)
    return Figure(what, mean, unit, spread, at_least=at_least)
