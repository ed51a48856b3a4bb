"""The result of this workspace as a page of Markdown, for the summary of a job and for a pull request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from graft.foundation.class_map import ClassMap
from graft.foundation.content import read_json
from graft.provenance.records import Record
from graft.provenance.stages import CLASS_MAP, EXPORTED, SCORES, STAGES, record_path


def page(metrics: dict[str, Any], names: list[str], records: dict[str, Record]) -> str:
    """The page: scores, overall and per class, and the digests by which everything else can be found."""
    headline, per_class = ("mean_iou", "iou") if "mean_iou" in metrics else ("accuracy", "recall")
    baseline = metrics.get("baseline")
    synthetic = ", synthetic" if metrics["synthetic"] else ""
    lines = [f"## Result on {metrics['num_images']} {metrics['split']} images{synthetic}", ""]
    lines += _row([per_class, "adapted", *(["from scratch", "gain"] if baseline else [])])
    lines += _row(["---", *["---:"] * (3 if baseline else 1)])
    rows = [(name, metrics[per_class][name], baseline and baseline[per_class][name]) for name in names]
    for name, value, other in [*rows, (f"**{headline}**", metrics[headline], baseline and baseline[headline])]:
        lines += _row([name, _percent(value), *([_percent(other), _points(value, other)] if baseline else [])])
    trained = records["fine-tune"]
    facts = ", ".join(f"{key} {value}" for key, value in trained.environment.items() if value and key != "lock")
    lines += ["", f"Model `{records['export'].outputs[EXPORTED]}`", "", f"Trained with {facts}.", ""]
    if trained.git.commit:
        holds = "which holds" if trained.git.holds_code_and_params else "which does **not** hold"
        lines += [f"Commit `{trained.git.commit}`, {holds} the code and params that were used.", ""]
    lines += _row(["stage", "fingerprint"]) + _row(["---", "---"])
    for stage, record in records.items():
        lines += _row([stage, f"`{record.fingerprint[:16]}`"])
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> list[str]:
    return ["| " + " | ".join(cells) + " |"]


def _percent(value: float | None) -> str:
    return "absent" if value is None else f"{100 * value:.1f}%"


def _points(value: float | None, other: float | None) -> str:
    return "" if value is None or other is None else f"{100 * (value - other):+.1f} points"


def main() -> None:
    """Prints the page."""
    records = {stage: Record.read(path) for stage in STAGES if (path := record_path(stage)).is_file()}
    print(page(read_json(Path(SCORES)), list(ClassMap.read(Path(CLASS_MAP)).names), records), end="")


if __name__ == "__main__":
    main()
