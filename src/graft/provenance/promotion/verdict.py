"""The verdict on the page of a version: tags with the rules and the decision, and a table in Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graft.provenance.promotion.ledger import LedgerEntry
from graft.provenance.tracking import registry

if TYPE_CHECKING:
    from graft.provenance.tracking.mlflow_store import MlflowClient
    from graft.provenance.tracking.registry import ModelVersion

RULES_TAG, VERDICT_TAG, OVERRIDE_TAG = "graft.promotion.rules", "graft.promotion.verdict", "graft.promotion.override"
TAGS = (RULES_TAG, VERDICT_TAG, OVERRIDE_TAG)
PASSED, REFUSED, OVERRIDDEN = "passed the gate", "refused by the gate", "gate overridden"
FAILS = "FAILS"
HEADING = "## Promotion"
COLUMNS = ("rule", "value", "bound", "verdict")
MOST_CHARACTERS = 5000  # of a description on PostgreSQL


@dataclass(frozen=True)
class Verdict:
    """A judgement of the gate.

    Attributes:
        rules: Rules, each `{rule, value, bound, verdict}`.
        said: Decision in a sentence, with its time, author and reason.
    """

    rules: tuple[dict[str, str], ...]
    said: str

    @classmethod
    def of(cls, intent: LedgerEntry) -> Verdict:
        """The verdict of a promotion or override, from its entry alone, so that whoever finishes it writes the same."""
        word = OVERRIDDEN if intent.kind == "override" else PASSED
        return cls(intent.rules, f"{word} {intent.time} by {intent.author}: {intent.reason}")

    @classmethod
    def refusal(cls, tags: Mapping[str, str], since: str = "") -> Verdict | None:
        """The refusal in the tags of a version, which no ledger holds; None where there is none later than `since`."""
        said = tags.get(VERDICT_TAG, "")
        if not said.startswith(f"{REFUSED} ") or said.removeprefix(f"{REFUSED} ").partition(" ")[0] <= since:
            return None
        try:
            rules: Any = json.loads(tags.get(RULES_TAG, ""))
        except ValueError:
            return None
        whole = isinstance(rules, list) and all(isinstance(rule, dict) for rule in rules)
        return cls(tuple(rules), said) if whole else None

    @property
    def tags(self) -> dict[str, str]:
        """The tags of the version."""
        rules = json.dumps(self.rules, sort_keys=True, ensure_ascii=False)
        return {RULES_TAG: rules, VERDICT_TAG: self.said}

    @property
    def table(self) -> str:
        """The table for the page, in Markdown."""
        rows = [f"| {' | '.join(_cell(rule, column) for column in COLUMNS)} |" for rule in self.rules]
        return "\n".join([f"{HEADING}\n\n{self.said}\n", f"| {' | '.join(COLUMNS)} |", "|---|---|---|---|", *rows])

    def is_on(self, description: str) -> bool:
        """Whether the description of a version shows this verdict."""
        shown = shown_on(description).strip()
        cut = len(description) >= MOST_CHARACTERS and self.table.startswith(shown)
        return cut or shown == self.table.strip()


def write(store: MlflowClient, version: ModelVersion, verdict: Verdict, *, overridden: bool = False) -> None:
    """Replaces the verdict on the page of a version; that of an override also stays in a tag of its own."""
    name, number = version.name, int(version.version)
    about = (version.description or "").partition(HEADING)[0].strip()
    registry.describe_version(store, name, number, f"{about}\n\n{verdict.table}"[:MOST_CHARACTERS])
    tags = verdict.tags | ({OVERRIDE_TAG: verdict.said} if overridden else {})
    registry.tag_version(store, name, number, tags)


def clear(store: MlflowClient, version: ModelVersion) -> None:
    """Takes a refusal off the page of a version."""
    name, number = version.name, int(version.version)
    registry.describe_version(store, name, number, (version.description or "").partition(HEADING)[0].strip())
    registry.remove_tags(store, name, number, [tag for tag in (RULES_TAG, VERDICT_TAG) if tag in version.tags])


def shown_on(description: str) -> str:
    """The part of a description that is about promotion; empty where there is none."""
    _, heading, rest = description.partition(HEADING)
    return heading + rest


def _cell(rule: Mapping[str, str], column: str) -> str:
    value = str(rule.get(column, ""))
    return f"**{value}**" if (column, value) == ("verdict", FAILS) else value
