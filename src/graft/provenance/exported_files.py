"""The files that a model was exported as, side by side: size, distance from the model, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.deployment.export.exported_model import ONNX_FILE
from graft.foundation.content import read_json
from graft.provenance.stages import EXPORTED, PARITY, measured_path

HEAD = ("target", "bytes", "score", "change", "equal", "ms", "memory")
NO_VALUE = "—"  # not measured here


@dataclass(frozen=True)
class ExportedFile:
    """A file of the exported model.

    Attributes:
        target: Name of the target, as in `export.targets`.
        num_bytes: Size of the file.
        score: Headline score of the file on the images compared, a fraction.
        score_change: That score less the model's own.
        equal_fraction: Share of the predictions (pixels or images) that are the model's own.
        num_images: Number of images compared: all of the split, of `onnx` `export.parity_images` of them.
        milliseconds: Time for an image on one thread; None where it was not measured here.
        peak_bytes: Largest memory of a process that opens it and predicts; None likewise.
    """

    target: str
    num_bytes: int
    score: float
    score_change: float
    equal_fraction: float
    num_images: int
    milliseconds: float | None
    peak_bytes: int | None

    def cells(self) -> tuple[str, ...]:
        """A row below `HEAD`."""
        return (
            self.target,
            f"{self.num_bytes:,}",
            f"{100 * self.score:.2f}%",
            f"{100 * self.score_change:+.2f}",
            f"{self.equal_fraction:.3%}",
            NO_VALUE if self.milliseconds is None else f"{self.milliseconds:.1f}",
            NO_VALUE if self.peak_bytes is None else f"{self.peak_bytes / 2**20:.0f} MiB",
        )


def exported_files(fingerprint: str) -> list[ExportedFile]:
    """The files that export wrote into the workspace; none where ONNX is the only target.

    Args:
        fingerprint: Fingerprint of that export; what was measured of another is left out.
    """
    parity = read_json(Path(PARITY)) if Path(PARITY).is_file() else {}
    if "targets" not in parity:
        return []
    file = measured_path("export")
    measured = read_json(file) if file.is_file() else {}
    measured = measured if measured.get("fingerprint") == fingerprint else {}
    onnx = {"num_bytes": (Path(EXPORTED) / ONNX_FILE).stat().st_size, "num_images": len(parity["images"])}
    reports = {"onnx": {**parity, **onnx}, **parity["targets"]}
    return [_file(target, report, measured) for target, report in reports.items()]


def legend(files: Sequence[ExportedFile]) -> str:
    """A sentence on the columns of `HEAD`, for tables of at least two files."""
    first, *others = files
    return (
        "Score, its change in points, and the share of equal predictions, beside the model itself: "
        f"{first.target} on {first.num_images:,} images, the others on {others[0].num_images:,}. "
        "Milliseconds an image on one thread; the largest memory of a process that predicts."
    )


def _file(target: str, report: Mapping[str, Any], measured: Mapping[str, Any]) -> ExportedFile:
    return ExportedFile(
        target=target,
        num_bytes=report["num_bytes"],
        score=report["exported_score"],
        score_change=report["exported_score"] - report["original_score"],
        equal_fraction=report["equal_fraction"],
        num_images=report["num_images"],
        milliseconds=measured.get(f"{target}_ms"),
        peak_bytes=measured.get("peak_bytes", {}).get(target),
    )
