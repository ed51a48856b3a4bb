"""Stage 7, export: the model as ONNX, the proof that it is the same model, and a card that says what it is worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.checkpoints import load_model, save_state
from graft.datasets.images import decode_image
from graft.exporting.latency import latencies
from graft.exporting.model_card import model_card
from graft.exporting.onnx_file import write_onnx
from graft.exporting.opened import ONNX_FILE, PREDICT_FILE, onnx_runner, session
from graft.exporting.parity import compare, compare_sizes, refuse_disagreement, spread
from graft.exporting.rounding import restored, rounding_of, scores_of, stored_state
from graft.predicting import prepared
from graft.predicting_torch import torch_runner
from graft.runtimes import use_runtime
from graft.sample import ClassMap, read_json, write_json

if TYPE_CHECKING:
    from graft.params import Export, Predict, Runtime


def export(
    *,
    task: str,
    runtime: Runtime,
    predict: Predict,
    export: Export,
    images: Path,
    class_map: Path,
    model: Path,
    metrics: Path,
    card: Path,
    out: Path,
    measured: Path | None = None,
) -> dict[str, float]:
    """Writes model.onnx, weights.safetensors, spec, class map, metrics, parity and model_card.md.

    Args:
        measured: Where the latencies go; None measures none.

    Raises:
        GraftError: The exported model differs from the original by more than the tolerances.
    """
    use_runtime(runtime)
    classes, evaluated = ClassMap.read(class_map), read_json(metrics)
    original, spec = load_model(model)
    state = stored_state(original, export.weights_dtype)
    rounded = restored(original, state)
    write_onnx(out / ONNX_FILE, rounded, spec, opset=export.opset)
    save_state(out / "weights.safetensors", state, spec.as_dict())
    spec.write(out / "spec.json")
    classes.write(out / "class_map.json")
    write_json(out / PREDICT_FILE, {"max_pixels": predict.max_pixels, "overlap_px": predict.overlap_px})

    exported = onnx_runner(session(out / ONNX_FILE, runtime.num_threads))
    same = torch_runner(rounded, spec)
    parity: dict[str, Any] = compare(same, exported, spec, images, classes.num_classes, export.parity_images, predict)
    parity["relative_difference_at_odd_sizes"] = compare_sizes(same, exported, spec)
    parity["weights_dtype"] = export.weights_dtype
    if export.weights_dtype != "float32":
        runners = {"original": torch_runner(original, spec), "exported": exported}
        found = scores_of(runners, spec, images, classes.names, predict)
        parity["rounding"] = rounding_of(found, task)
        evaluated = {name: value for name, value in evaluated.items() if name != "gain"} | found["exported"]
    refuse_disagreement(parity, export)
    write_json(out / "parity.json", parity)
    write_json(out / "metrics.json", evaluated)
    (out / "model_card.md").write_text(model_card(out, model, read_json(card)), encoding="utf-8")
    if measured is not None:
        image = prepared(decode_image(spread(images, 1)[0].image), spec, max_pixels=predict.max_pixels)
        write_json(measured, latencies(rounded, spec, out / ONNX_FILE, image))
    names = ("max_logit_difference", "equal_fraction", "score_difference")
    return {name: float(parity[name]) for name in names}
