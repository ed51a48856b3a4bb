"""Lineage as a tree for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graft.models.address import ModelAddress
from graft.provenance.lineage.recall import REMEDY, SCORED, Answer, name_of
from graft.provenance.lineage.walk import Chain, Link, Step

SHORT = 12
SHOWN_METRICS = 3

HEADLINES = ("mean_iou", "accuracy", "mean_average_precision")  # of graft.metrics, which needs NumPy; a test compares


def tree(chain: Chain) -> str:
    """Draws the chain from the model to the raw files; a step that several others read is described only once."""
    lines = [title(chain), *(f"{name}: {value}" for name, value in summary_of(chain))]
    described: set[str] = set()
    lines += _lines(chain, Link(chain.first.key, chain.first.made), "", True, described)
    lines += ["", *(f"missing: {gap}" for gap in chain.missing)] if chain.missing else []
    return "\n".join(lines)


def title(chain: Chain) -> str:
    """The names under which the model is registered, or a note that it is not."""
    names = [
        str(ModelAddress(version["name"], version["number"]))
        + (f" ({', '.join(version['aliases'])})" if version["aliases"] else "")
        for version in chain.versions
    ]
    return f"{', '.join(names) or 'not registered'}  {chain.model[:SHORT]}"


def summary_of(chain: Chain) -> Iterator[tuple[str, str]]:
    """The facts of a model that a person asks for first: its dates, its score, and what the gate said to whom."""
    for version in chain.versions:
        name = name_of(version)
        yield f"{name} registered", str(version.get("created", "at an unknown time"))
        if version.get("verdict"):
            yield f"{name} promotion", version["verdict"]
    for step in [step for step in chain.own if step.stage == "evaluate"][:1]:
        metrics, split = step.facts["metrics"], step.facts["params"].get("evaluate", {}).get("split", "test")
        headline = next((name for name in HEADLINES if name in metrics), None)
        if headline:
            yield "score", f"{headline.replace('_', ' ').replace('iou', 'IoU')} {metrics[headline]:.4f} on {split}"


def facts_of(step: Step) -> Iterator[tuple[str, str]]:
    """The facts of a step that a person wants to see, as short (name, value) pairs."""
    facts = step.facts
    if "record" in facts:
        held = "" if facts["commit_holds_code_and_params"] else " (plus what was not committed)"
        yield "commit", f"{(facts['commit'] or 'none')[:SHORT]}{held}"
        yield "run", str(facts["run"] or "not published")
        yield "record", facts["record"][:SHORT]
        yield "environment", _environment(facts["environment"])
        metrics = sorted(facts["metrics"].items())[:SHOWN_METRICS]
        yield "metrics", ", ".join(f"{name} {value:.4g}" for name, value in metrics)
        if seen := facts.get("seen"):
            yield "saw", ", ".join(f"{count} {role} images" for role, count in sorted(seen.items(), reverse=True))
        return
    yield from ((name, str(value)) for name, value in facts.items() if value is not None)


def describe_answer(answer: Answer) -> str:
    """Lists the versions that saw the images and those that may have seen them, a line each."""
    nobody = "no registered version is known to have seen it" if answer.not_known else "no registered version saw it"
    num_versions = len({name_of(saw.version) for saw in answer.saw})
    lines = [f"{answer.meant}, in {num_versions} version{'' if num_versions == 1 else 's'}"]
    lines = lines if answer.saw else [f"{answer.meant}: {nobody}"]
    trained = {name_of(saw.version) for saw in answer.saw if "trained" in saw.how}
    for saw in answer.saw:
        count = f" {saw.num_images} of them" if saw.num_images > 1 else " it"
        not_trained = ", did not train on it" if saw.how == SCORED and name_of(saw.version) not in trained else ""
        lines.append(f"  {_title_of(saw.version)}: {saw.how}{count if saw.num_images else ''}{not_trained}")
    if answer.not_known:
        lines.append(f"not known for {len(answer.not_known)} versions, because these facts are missing:")
        lines += [f"  {_title_of(each.version)}: {', '.join(each.lacking)}" for each in answer.not_known]
        lines.append(f"Remedy: {REMEDY}")
    return "\n".join(lines)


def _title_of(version: dict[str, Any]) -> str:
    aliases = f" ({', '.join(version['aliases'])})" if version["aliases"] else ""
    return f"{name_of(version)}{aliases}"


def _lines(chain: Chain, link: Link, indent: str, last: bool, described: set[str]) -> Iterator[str]:
    step = chain.steps[link.to]
    paths = ", ".join(f"{path} {digest[:SHORT]}" for path, digest in link.paths.items())
    again = " (above)" if step.key in described else ""
    yield f"{indent}{'└─ ' if last else '├─ '}{step.what}: {paths}{again}"
    if again:
        return
    described.add(step.key)
    inner = indent + ("   " if last else "│  ")
    stem = inner + ("│  " if step.links else "   ")
    yield from (f"{stem}{name}: {value}" for name, value in facts_of(step) if value)
    for number, child in enumerate(step.links, 1):
        yield from _lines(chain, child, inner, number == len(step.links), described)


def _environment(environment: dict[str, Any]) -> str:
    lock = environment.get("lock")
    extras = [f"{path} {digest[:SHORT]}" for path, digest in (environment.get("extra_locks") or {}).items()]
    facts = [
        f"lock {lock[:SHORT]}" if lock else "no lock",
        *extras,
        f"Python {environment['python']}",
        environment["system"],
    ]
    facts += [environment["device"]] if environment.get("device") else []
    facts += [f"driver {environment['driver']}"] if environment.get("driver") else []
    return ", ".join(facts)
