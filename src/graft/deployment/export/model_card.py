"""The model card: what the model is, what it was made from, how good it is, where it ends, what one may do with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from graft.deployment.export.answers import OUTPUTS, SENTENCES, WRITTEN
from graft.deployment.export.what_is_left import what_is_left
from graft.deployment.serving import request
from graft.deployment.serving.predictor import MAX_IMAGES
from graft.foundation.class_map import RGB, UNLABELLED, ClassMap
from graft.foundation.content import read_json, sha256_of
from graft.metrics.confusion import HEADLINE, HEADLINES

BY_CLASS = {
    "segmentation": ("iou", "precision", "recall"),
    "classification": ("precision", "recall", "f1"),
    "multilabel": ("average_precision", "precision", "recall", "f1"),
}
TITLES = {
    "mean_iou": "mean IoU",
    "iou": "IoU",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "f1": "F1",
    "frequency_weighted_iou": "frequency-weighted IoU",
}
WEAK = 0.3
TARGET_HEAD = ("target", "bytes", "logits differ by", "equal predictions", "score", "worst class")


def model_card(folder: Path, model: Path, pretrained: Mapping[str, Any]) -> str:
    """The card of an exported model in Markdown; a pure function of the files.

    Args:
        folder: The exported files, all but the card itself.
        model: The fine-tuned model, for its strategy and the number of images it was trained on.
        pretrained: The card of the weights it grew from.
    """
    spec, metrics, parity = (read_json(folder / f"{name}.json") for name in ("spec", "metrics", "parity"))
    classes, seen = ClassMap.read(folder / "class_map.json"), read_json(model / "seen.json")
    strategy = read_json(model / "strategy.json")
    sections = [
        _head(spec, classes, metrics),
        _use(spec, classes),
        _serving(spec["task"]),
        _data(classes, seen, metrics),
        _training(spec, strategy, pretrained),
        _scores(spec["task"], classes, metrics),
        _parity(parity),
        _limits(spec["task"], classes, metrics),
        _licences(classes, strategy, pretrained),
        _digests(folder),
    ]
    return "\n\n".join(sections) + "\n"


def _head(spec: Mapping[str, Any], classes: ClassMap, metrics: Mapping[str, Any]) -> str:
    task, headline = spec["task"], HEADLINE[spec["task"]]
    title = _title(headline)
    parts = [f"# {spec['model']['name']} for {task} of {classes.num_classes} classes"]
    if classes.synthetic:
        parts.append(
            "> **Synthetic data.** The images this model was adapted to and scored on were drawn by a program. "
            "The scores below say nothing about photographs."
        )
    parts.append(
        f"{title[0].upper()}{title[1:]} **{_percent(metrics[headline])}**"
        f"{_interval(metrics, headline)} on the {metrics['split']} images. " + SENTENCES[task]
    )
    parts.append("Classes: " + ", ".join(classes.names) + ".")
    if thresholds := spec.get("thresholds"):
        told = (f"{name} {one:.3f}" for name, one in zip(classes.names, thresholds, strict=True))
        parts.append(f"Thresholds, chosen on val for the best F1 of each class: {', '.join(told)}.")
    return "\n\n".join(parts)


def _use(spec: Mapping[str, Any], classes: ClassMap) -> str:
    shape, ids = OUTPUTS[spec["task"]]
    multiple = spec["padding_multiple"]
    padding = f" whose sides are multiples of {multiple}" if multiple > 1 else ""
    return f"""## How to use it

    graft predict IMAGE… --model FOLDER --out DIR

writes {WRITTEN[spec["task"]]}, for images of any size.

Any ONNX runtime can run `model.onnx`: input `images`, uint8 {_layout(spec)} of any batch and size{padding}, neither
scaled nor normalised; outputs `logits`, float32 {shape}, and `class_ids`, {ids}.

Before the model an image is turned upright by its EXIF tag and resized by the rule `{_choice(spec["resize"])}`. Sides
shorter than {spec["min_side_px"]} px are mirrored to that length, larger images than `predict.json` allows are tiled;
`graft predict` does all of that."""


def _serving(task: str) -> str:
    return f"""## How to serve it

From Python, once it is registered and champion; `predict` takes paths, bytes and arrays:

```python
{request.load_example(task)}
```

As a server, which answers with {request.ANSWERS[task]}:

```sh
{request.serve_command(task)}
```

```sh
{request.CURL}
```

```python
{request.PYTHON}
```

A request holds 1 to {MAX_IMAGES} images; a wrong one is answered with status 400 and the reason."""


def _data(classes: ClassMap, seen: Mapping[str, Sequence[str]], metrics: Mapping[str, Any]) -> str:
    domains = ", ".join(f"{name} ({part['num_images']})" for name, part in metrics.get("per_domain", {}).items())
    rows = [
        ("Source", f"`{classes.source}`, {'synthetic' if classes.synthetic else 'real'} images"),
        ("Splits", "the source's own lists" if classes.official_splits else "drawn by Graft from seed, group and id"),
        ("Trained on", f"{len(seen['train'])} images"),
        *([("Seen without labels", f"{len(bare)} images")] if (bare := seen.get(UNLABELLED)) else []),
        ("Best epoch chosen on", f"{len(seen['val'])} val images"),
        (
            "Scored on",
            f"{metrics['num_images']} {metrics['split']} images" if "num_images" in metrics else metrics["split"],
        ),
        ("Domains scored", domains or "one"),
    ]
    return "## Data\n\n" + _table(("", ""), rows)


def _training(spec: Mapping[str, Any], strategy: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    counts = {name: len(card[name]) for name in ("matched", "resized", "reinitialised", "left_out")}
    rows = [
        ("Architecture", f"`{_choice(spec['model'])}`"),
        ("Strategy", f"`{strategy['name']}`"),
        *(("Taught by", f"`{one['model']}`, sha256 `{one['sha256']}`") for one in strategy.get("teacher", ())),
        *([("Pruned", what_is_left(spec))] if spec["widths"] else []),
        ("Grown from", f"`{card['name']}`: {card['description']}"),
        ("Origin", card["origin"] or "none"),
        ("sha256 of those weights", f"`{card['sha256']}`" if card["sha256"] else "no file"),
        ("Tensors", ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())),
        (
            "Normalisation",
            f"mean {_listed(spec['mean'])}, deviation {_listed(spec['std'])} of {', '.join(spec['channels'])} in 0…1",
        ),
    ]
    return "## Training\n\n" + _table(("", ""), rows)


def _scores(task: str, classes: ClassMap, metrics: Mapping[str, Any]) -> str:
    baseline = metrics.get("baseline")
    head = ["score", "value", "95% interval"] + (["from scratch"] if baseline else [])
    rows = []
    for name in HEADLINES[task]:
        row = [_title(name), _percent(metrics[name]), _interval(metrics, name).strip(" ()") or "—"]
        rows.append(row + ([_percent(baseline[name])] if baseline else []))
    if metrics.get("calibration_error") is not None:
        row = ["calibration error", _percent(metrics["calibration_error"]), "—"]
        rows.append(row + ([_percent(baseline.get("calibration_error"))] if baseline else []))
    by_class = [
        (name, *(_percent(metrics[score][name]) for score in BY_CLASS[task] if score in metrics))
        for name in classes.names
    ]
    titles = [_title(score) for score in BY_CLASS[task] if score in metrics]
    parts = ["## Scores", _table(head, rows), _table(("class", *titles), by_class)]
    names = list(HEADLINES[task])
    for group in ("domain", "delivery"):
        found = metrics.get(f"per_{group}", {})
        table = [
            (name, part["num_images"], *(_percent(part[score]) for score in names)) for name, part in found.items()
        ]
        parts += [_table((group, "images", *map(_title, names)), table)] if len(table) > 1 else []
    parts.append("Intervals are bootstrap percentiles over images: other images of the same kind, not another kind.")
    return "\n\n".join(parts)


def _parity(parity: Mapping[str, Any]) -> str:
    lines = [
        "## The file is the model",
        f"On {len(parity['images'])} of the images scored, the ONNX file and the torch model it was made from agree on "
        f"{parity['equal_fraction']:.3%} of the predictions; their logits differ by at most "
        f"{parity['max_logit_difference']:.1e}, at other sizes by at most "
        f"{parity['relative_difference_at_odd_sizes']:.0e} of the largest logit.",
    ]
    if "rounding" in parity:
        rounding = parity["rounding"]
        before, after = (_percent(rounding[f"{which}_score"], 2) for which in ("original", "exported"))
        lines.append(
            f"Weights are stored in half precision: {_title(rounding['score'])} {before} before and {after} after "
            "rounding, on the whole split. The scores above are those of this file."
        )
    if "targets" in parity:
        lines.append("Further files of the same model, compared with it on the whole split:")
        lines.append(_table(TARGET_HEAD, [_target_row(*pair) for pair in parity["targets"].items()]))
        lines += [_left_in_float(name, report) for name, report in parity["targets"].items() if "num_layers" in report]
    return "\n\n".join(lines)


def _target_row(name: str, report: Mapping[str, Any]) -> list[str]:
    worst, fall = report["worst_class"], report["worst_class_difference"]
    return [
        f"{name} (`{report['file']}`)",
        f"{report['num_bytes']:,}",
        f"{report['max_logit_difference']:.1e}",
        f"{report['equal_fraction']:.3%}",
        f"{_title(report['score'])} {_percent(report['exported_score'], 2)} of {_percent(report['original_score'], 2)}",
        "—" if worst is None else f"{worst} {-100 * fall:+.2f} points",
    ]


def _left_in_float(name: str, report: Mapping[str, Any]) -> str:
    kept = report["kept_float32"]
    ranges = f"{name} takes its ranges from {len(report['calibration_images'])} training images. "
    if not kept:
        return f"{ranges}All {report['num_layers']} layers that can be are in 8 bits."
    named = ", ".join(f"`{layer['layer']}` ({layer['damage']:.1e})" for layer in kept)
    return (
        f"{ranges}Of {report['num_layers']} layers {len(kept)} stay in float32, because with all in 8 bits the score "
        f"on val fell by {report['drop_all_quantised']:.4f}; beside each, the damage it does alone to the logits, as a "
        f"share of their mean square: {named}."
    )


def _limits(task: str, classes: ClassMap, metrics: Mapping[str, Any]) -> str:
    shown = BY_CLASS[task][0] if task != "classification" else "recall"
    by_class = metrics[shown]
    weak = [name for name in classes.names if by_class[name] is not None and by_class[name] < WEAK]
    absent = [name for name in classes.names if by_class[name] is None]
    lines = ["Images unlike those it was trained on (other cameras, places, seasons, light) were not tested."]
    lines += (
        ["Trained and scored on drawn images: for photographs it is a starting point."] if classes.synthetic else []
    )
    if metrics.get("selected_on_this_split"):
        lines.append("The best epoch was chosen on the very images it is scored on: expect less on new ones.")
    lines += [f"Weak ({_title(shown)} below {WEAK:.0%}): {', '.join(weak)}."] if weak else []
    lines += [f"Never seen in the images it was scored on: {', '.join(absent)}."] if absent else []
    if task != "multilabel":
        lines.append("It always answers with one of its classes, also where none of them is in the image.")
    lines.append("Not meant for decisions that endanger people.")
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _licences(classes: ClassMap, strategy: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    rows = [("Data", classes.licence), ("Pretrained weights", card["licence"] or "none"), ("Graft", "Apache-2.0")]
    rows += [("Teacher", f"that of `{one['model']}`: see its card") for one in strategy.get("teacher", ())]
    return "## Licences\n\n" + _table(("", ""), rows)


def _digests(folder: Path) -> str:
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != "model_card.md")
    rows = [(path.name, f"{path.stat().st_size:,}", f"`{sha256_of(path)}`") for path in files]
    return "## Files\n\n" + _table(("file", "bytes", "sha256"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )


def _title(score: str) -> str:
    return TITLES.get(score, score.replace("_", " "))


def _percent(value: float | None, digits: int = 1) -> str:
    return "—" if value is None else f"{100 * value:.{digits}f}%"


def _interval(metrics: Mapping[str, Any], score: str) -> str:
    ends = (metrics.get("interval") or {}).get(score)
    return f" ({_percent(ends[0])} to {_percent(ends[1])})" if ends else ""


def _choice(choice: Mapping[str, Any]) -> str:
    options = ", ".join(f"{name}: {value}" for name, value in sorted(choice.items()) if name != "name")
    return f"{choice['name']} ({options})" if options else str(choice["name"])


def _layout(spec: Mapping[str, Any]) -> str:
    channels = spec["channels"]
    return "RGB [B, H, W, 3]" if channels == list(RGB) else f"[B, H, W, {len(channels)}] ({', '.join(channels)})"


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)
