"""What the page of each version says of its promotion, against the ledger; and whether it is the model promoted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from graft.models.address import ModelAddress
from graft.provenance.audit.link import BROKEN, MISSING, VERIFIED, Checked
from graft.provenance.promotion import history
from graft.provenance.promotion.ledger import Entry
from graft.provenance.promotion.verdict import OVERRIDE_TAG, TAGS, Verdict, shown_on
from graft.provenance.tracking.mlflow_store import MODEL_DIGEST
from graft.provenance.tracking.registry import find_versions

if TYPE_CHECKING:
    from graft.provenance.tracking.registry import ModelVersion

REWRITTEN = "is not what was written when the gate judged it"


def check_pages(client: Any, entries: Sequence[Entry], name: str, model: str | None = None) -> Iterator[Checked]:
    """Every version of a registered model that was promoted or judged.

    Args:
        client: The server.
        entries: The ledger.
        name: Of the registered model.
        model: The digest of the model that is audited: a version that held it must not be gone.
    """
    versions = {int(version.version): version for version in find_versions(client, name)}
    promoted, overridden = history.promotions(entries), history.promotions(entries, ("override",))
    waiting = history.open_intent(entries)
    for number in sorted({*versions, *promoted}):
        if waiting and waiting.version == number:
            continue  # whoever finishes it writes the page
        uri, version, intent = str(ModelAddress(name, number)), versions.get(number), promoted.get(number)
        if version is None:
            status = BROKEN if promoted[number].model_digest == model else MISSING
            yield Checked(status, uri, "was deleted, though the ledger says that it was promoted")
            continue
        if intent:
            yield _check_model(uri, version, intent)
        yield from _check_page(uri, version, intent, overridden.get(number))


def _check_model(uri: str, version: ModelVersion, intent: Entry) -> Checked:
    found = version.tags.get(MODEL_DIGEST, "nothing")
    if found != intent.model_digest:
        said = f"tag {MODEL_DIGEST} is {found[:12]}, but the ledger says {intent.model_digest[:12]}"
        return Checked(BROKEN, f"{uri}, model promoted", said)
    return Checked(VERIFIED, f"{uri}, model promoted", f"{found[:12]}, as the ledger says")


def _check_page(uri: str, version: ModelVersion, intent: Entry | None, override: Entry | None) -> Iterator[Checked]:
    refusal = Verdict.refusal(version.tags, since=intent.time if intent else "")
    verdict = refusal or (Verdict.of(intent) if intent else None)
    expected = (verdict.tags if verdict else {}) | ({OVERRIDE_TAG: Verdict.of(override).said} if override else {})
    wrong = [f"tag {name}" for name in TAGS if version.tags.get(name) != expected.get(name)]
    description = version.description or ""
    if not (verdict.is_on(description) if verdict else shown_on(description) == ""):
        wrong.append("table on its page")
    yield from (Checked(BROKEN, f"{uri}, {what}", REWRITTEN) for what in wrong)
    if wrong or verdict is None:
        return
    if refusal and intent:
        yield Checked(MISSING, f"{uri}, verdict", "refused when it was judged again, which no ledger holds")
    else:
        yield Checked(VERIFIED, f"{uri}, verdict", "as its rules say" if refusal else "as the ledger says")
