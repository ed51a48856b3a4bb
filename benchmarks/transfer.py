"""The value of transfer: labels × domains × strategies, three seeds each, for one small model at a small image size.

Each cell is a training by the stage functions and gives the val mean IoU of its best epoch. Finished cells are kept in
`build/transfer/`, so that an interrupted experiment continues where it was; remove that folder to start over.
"""

from __future__ import annotations

import math
import shutil
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.figures import Figure, Options
from benchmarks.page import PAGE
from graft.foundation.content import read_json, write_json
from graft.foundation.progress import progress
from graft.params.recipes import ROOT, compose
from graft.params.sections import Params
from graft.params.yaml_tree import plain
from pipeline.augment import augment
from pipeline.fine_tune import fine_tune
from pipeline.ingest import ingest
from pipeline.pretrain_load import pretrain_load

KEPT, PICTURE = Path("build/transfer"), PAGE.with_name("transfer.png")
NUM_ALL = 10**6
LABELS = {"10": 10, "40": 40, "120": 120, "all": NUM_ALL}
# With these epochs the number of images seen grows with the number of labels, but more slowly.
EPOCHS = {"10": 40, "40": 20, "120": 10, "all": 5}
SEEDS = (1, 2, 3)
NUM_SCENES, NUM_VAL = 360, 24
STRATEGIES: dict[str, dict[str, Any]] = {
    "scratch": {},
    "frozen": {"train": "frozen_backbone"},
    "full": {},
    "gradual": {"unfreeze": "gradual"},
    "l2_sp": {"l2_sp_alpha": 0.01},
}
SMALL = {
    "preprocess.resize": {"name": "short_side", "size_px": 96},
    "augment.crop": {"height_px": 96, "width_px": 128},
    "augment.views": 5,
    "fine_tune.baseline": False,
    "fine_tune.class_weights": "median_frequency",
}


@dataclass(frozen=True, order=True)
class Cell:
    """One training of the experiment."""

    domain: str
    labels: str
    strategy: str
    seed: int

    @property
    def kept(self) -> Path:
        """The file that holds its result."""
        return KEPT / f"{self.domain}-{self.labels}-{self.strategy}-{self.seed}.json"


def run(options: Options) -> list[Figure]:
    """Trains every cell that is not finished; returns mean and deviation over the seeds."""
    wanted = list(cells(options))
    todo = [cell for cell in wanted if not cell.kept.is_file()]
    KEPT.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="graft-transfer-") as name:
        for cell in progress(todo, "Trainings of the experiment", unit="training"):
            write_json(cell.kept, {"mean_iou": train_cell(cell, Path(name), options)})
    draw(wanted, PICTURE if options.write else KEPT / PICTURE.name)
    return list(figures(wanted))


def cells(options: Options) -> Iterator[Cell]:
    """Lists the cells, few labels first; CamVid is part of them if its folder is given."""
    domains = ["scenes"] + (["camvid"] if options.camvid else [])
    for labels in list(LABELS)[:1] if options.quick else options.labels or LABELS:
        if labels not in LABELS:
            raise SystemExit(f"benchmarks: no row for {labels} labels; there are {', '.join(LABELS)}")
        for domain in domains:
            for strategy in STRATEGIES:
                yield from (Cell(domain, labels, strategy, seed) for seed in SEEDS[: 1 if options.quick else None])


def train_cell(cell: Cell, folder: Path, options: Options) -> float:
    """Trains a cell; returns the val mean IoU of its best epoch."""
    params = params_of(cell, options)
    data = folder / f"{cell.domain}-{cell.labels}"
    if not data.is_dir():
        for old in folder.iterdir():  # the cells of one data set follow each other
            shutil.rmtree(old)
        make_data(params, data)
    out = {name: folder / f"cell-{name}" for name in ("pretrained", "model", "curves")}
    for path in out.values():
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
    both = {"task": params.task, "seed": cell.seed, "model": params.model, "class_map": data / "class_map.json"}
    pretrain_load(**both, pretrain_load=params.pretrain_load, out=out["pretrained"])
    sections = {"preprocess": params.preprocess, "runtime": params.runtime, "fine_tune": params.fine_tune}
    sections |= {"predict": params.predict}
    places = {"augmented": data / "augmented", "val": data / "val", "pretrained": out["pretrained"]}
    fine_tune(**both, **sections, **places, out=out["model"], curves=out["curves"])
    return read_json(out["curves"] / "summary.json")["runs"]["fine_tuned"]["best"]["val_score"]


def make_data(params: Params, data: Path) -> None:
    """Makes the shards and views, which are the same for every strategy and seed."""
    (data / "augmented").mkdir(parents=True)
    both = {"task": params.task, "seed": params.seed}
    ingest(task=params.task, ingest=params.ingest, root=Path(params.ingest.root), out=data)
    write_json(data / "validation.json", {"passed": True, "expectations": []})
    places = {"train": data / "train", "class_map": data / "class_map.json", "validation": data / "validation.json"}
    augment(**both, preprocess=params.preprocess, augment=params.augment, **places, out=data / "augmented")


def params_of(cell: Cell, options: Options) -> Params:
    """The params of a cell: those of the default job with the changes that make the cell."""
    scratch, num = cell.strategy == "scratch", LABELS[cell.labels]
    source: dict[str, Any] = {"name": "camvid"} | ({} if num == NUM_ALL else {"num_train": num})
    if cell.domain == "scenes":
        counts = {"num_train": min(num, NUM_SCENES), "num_val": NUM_VAL, "num_test": 0}
        source = {"name": "scenes", "domain": "night_rain", **counts, "width_px": 128, "height_px": 96}
    changes = SMALL | {
        "ingest.root": str(options.camvid) if cell.domain == "camvid" else "data/raw",
        "ingest.source": source,
        "runtime.num_threads": options.threads,
        "pretrain_load.source": "none" if scratch else "bundled",
        "fine_tune.strategy": {"name": "supervised", **STRATEGIES[cell.strategy]},
        "fine_tune.learning_rate": 4e-3 if scratch else 1e-3,
        "fine_tune.epochs": 5 if options.quick else EPOCHS[cell.labels],
        "fine_tune.warmup_epochs": 0 if options.quick else 1,
    }
    tree = plain(compose(ROOT))
    for key, value in changes.items():
        section, _, field = key.partition(".")
        tree[section][field] = value
    return Params(**tree)


def scores(wanted: list[Cell]) -> dict[tuple[str, str, str], list[float]]:
    """The results of all seeds, by domain, labels and strategy."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for cell in wanted:
        key = (cell.domain, cell.labels, cell.strategy)
        found.setdefault(key, []).append(read_json(cell.kept)["mean_iou"])
    return found


def figures(wanted: list[Cell]) -> Iterator[Figure]:
    """The mean over the seeds of each cell; its spread is one deviation below and above."""
    for (domain, labels, strategy), values in scores(wanted).items():
        mean = statistics.fmean(values)
        deviation = statistics.stdev(values) if len(values) > 1 else math.nan
        spread = None if math.isnan(deviation) else (mean - deviation, mean + deviation)
        yield Figure(f"{domain}, {labels} labels, {strategy}", mean, "%", spread)


def draw(wanted: list[Cell], path: Path) -> None:
    """Draws a panel for each domain: val mean IoU over labels, a line per strategy, with bars of one deviation."""
    from matplotlib.figure import Figure as Picture

    found = scores(wanted)
    domains = list(dict.fromkeys(domain for domain, _, _ in found))
    picture = Picture(figsize=(5 * len(domains), 4), layout="constrained")
    for panel, domain in zip(picture.subplots(1, len(domains), squeeze=False, sharey=True)[0], domains, strict=True):
        for strategy in STRATEGIES:
            points = [
                (labels, found[domain, labels, strategy]) for labels in LABELS if (domain, labels, strategy) in found
            ]
            means = [100 * statistics.fmean(values) for _, values in points]
            bars = [100 * statistics.stdev(values) if len(values) > 1 else 0 for _, values in points]
            panel.errorbar([labels for labels, _ in points], means, bars, label=strategy, capsize=3, marker="o")
        panel.set(title=domain, xlabel="labelled images", ylabel="val mean IoU, %")
        panel.grid(alpha=0.3)
        panel.legend()
    picture.savefig(path, dpi=110, metadata={"Software": None})
