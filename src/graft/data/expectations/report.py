"""The verdict as JSON for the stages that follow and as Markdown that a person can act on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from graft.data.expectations import GateClosed
from graft.data.expectations.verdict import Finding
from graft.foundation.class_map import SPLITS, ClassMap


def as_json(findings: Sequence[Finding], num_images: int) -> dict[str, Any]:
    """The verdict, a plain value for `write_json`; `passed` is false when a critical rule is broken."""
    return {
        "passed": not stopping_findings(findings),
        "num_images": num_images,
        "expectations": [
            {
                "name": finding.rule.name,
                "severity": finding.rule.severity,
                "success": finding.success,
                "count": finding.count,
                "rule": finding.rule.rule,
                "why": finding.rule.why,
                "remedy": finding.rule.remedy,
                "examples": [name for name, _ in finding.examples],
                "found": [found for _, found in finding.examples],
                "allowed": [
                    {"images": excuse.images, "reason": excuse.reason, "count": excuse.count}
                    for excuse in finding.allowed
                ],
            }
            for finding in findings
        ],
    }


def as_markdown(findings: Sequence[Finding], manifest: pd.DataFrame, class_map: ClassMap) -> str:
    """The report: the verdict, a table of what failed, each of them in full, what was allowed, what passed."""
    failed = [finding for finding in findings if not finding.success]
    parts = [["# Validation", "", _verdict(findings), "", _contents(manifest, class_map)]]
    if failed:
        parts.append(_table(failed))
        parts += [_section(finding) for finding in failed]
    parts.append(_allowed(findings))
    parts.append(["## What passed", "", *[f"- `{f.rule.name}`: {f.rule.rule}" for f in findings if f.success]])
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def stopping_findings(findings: Sequence[Finding]) -> list[Finding]:
    """The findings that stop the pipeline."""
    return [finding for finding in findings if finding.rule.severity == "critical" and not finding.success]


def check_gate(findings: Sequence[Finding], report: str) -> None:
    """Stops the pipeline where a critical rule is broken; `report` says where to read more.

    Raises:
        GateClosed: With each broken critical rule, its count, first files and remedy.
    """
    broken = stopping_findings(findings)
    if not broken:
        return
    problems = [f"{finding.rule.name}: {_counted(finding)}{_first(finding)}\nrule: {finding.rule.rule}"
                f"\nremedy: {finding.rule.remedy}" for finding in broken]  # fmt: skip
    raise GateClosed.of_all(
        "validation stops the pipeline, critical expectations failed", problems, remedy=f"fix these; {report}"
    )


def _first(finding: Finding) -> str:
    named = "; ".join(f"{name} ({found})" for name, found in finding.examples)
    return f": {named}" if named else ""


def _verdict(findings: Sequence[Finding]) -> str:
    critical = len(stopping_findings(findings))
    warnings = sum(not finding.success for finding in findings) - critical
    warned = f"{warnings} warning{'' if warnings == 1 else 's'}"
    if critical:
        rules = "1 critical rule is" if critical == 1 else f"{critical} critical rules are"
        return f"**Stopped.** {rules} broken; the pipeline goes on when this is fixed. {warned} besides."
    return f"**Passed**, with {warned}." if warnings else "**Passed.** Nothing to report."


def _contents(manifest: pd.DataFrame, class_map: ClassMap) -> str:
    splits = manifest["split"].value_counts() if "split" in manifest else {}
    counts = ", ".join(f"{splits[split]:,} {split}" for split in SPLITS if split in splits) or "none"
    drawn = " The images are synthetic: a program drew them." if class_map.synthetic else ""
    return (
        f"{len(manifest):,} images from `{class_map.source}` ({counts}) for {class_map.task} in {class_map.num_classes}"
        f" classes: {', '.join(class_map.names)}.{_deliveries(manifest)}{drawn}"
    )


def _deliveries(manifest: pd.DataFrame) -> str:
    """A sentence on how many images came with which delivery; nothing where there is one."""
    counts = manifest["batch"].value_counts(sort=False) if "batch" in manifest else {}
    return (
        f" Deliveries: {', '.join(f'{name} {count:,}' for name, count in counts.items())}." if len(counts) > 1 else ""
    )


def _table(failed: Sequence[Finding]) -> list[str]:
    lines = ["| Severity | Expectation | Found | Rule |", "|---|---|---:|---|"]
    return lines + [
        f"| {'**critical**' if f.rule.severity == 'critical' else 'warning'} | [`{f.rule.name}`](#{f.rule.name})"
        f" | {_counted(f)} | {_cell(f.rule.rule)} |"
        for f in failed
    ]


def _section(finding: Finding) -> list[str]:
    rule = finding.rule
    lines = [f"## {rule.name}", "", f"{rule.severity.capitalize()}: {_counted(finding)}.", ""]
    lines += [f"- **Rule:** {rule.rule}.", f"- **Why it matters:** {rule.why}.", f"- **Remedy:** {rule.remedy}."]
    if finding.examples:
        num_shown = len(finding.examples)
        shown = "" if finding.count <= num_shown else f" (first {num_shown} of {finding.count:,})"
        lines += ["", f"Found{shown}:", ""]
        lines += [f"- {_code(name)}: {_plain(found)}" for name, found in finding.examples]
    return lines


def _allowed(findings: Sequence[Finding]) -> list[str]:
    entries = [(finding, excuse) for finding in findings for excuse in finding.allowed]
    if not entries:
        return []
    lines = ["## What was allowed", ""]
    for finding, excuse in entries:
        nothing = "**excuses nothing: remove the entry, or correct its glob**"
        effect = f"excuses {excuse.count:,}" if excuse.count else nothing
        lines.append(f"- `{finding.rule.name}` for {_code(excuse.images)}: {effect}. Reason: {_cell(excuse.reason)}")
    return lines


def _counted(finding: Finding) -> str:
    one = {"images": "image", "classes": "class", "splits": "split"}[finding.rule.table]
    many = {"images": "images", "classes": "classes", "splits": "splits"}[finding.rule.table]
    if finding.rule.kind == "columns":
        one, many = "column", "columns"
    if finding.rule.kind == "num_rows":
        return "no image"
    return f"{finding.count:,} {one if finding.count == 1 else many}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, file names in it included."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    """Code span of a file name, whatever characters it holds."""
    flat = " ".join(text.split())
    return f"`` {flat} ``" if "`" in flat else f"`{flat}`"
