"""`graft audit --rebuild`: the pipeline once more, in a clean checkout of the recorded commit, and how near it came."""

from __future__ import annotations

import os
import posixpath
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from graft.foundation.content import digest_of, read_json
from graft.foundation.errors import GraftError
from graft.foundation.progress import say
from graft.provenance.audit.agreement import WHAT, Records, levels
from graft.provenance.audit.capability import offered
from graft.provenance.audit.commits import MOST_COMMITS, Damaged, Objects, differences, newest_commits
from graft.provenance.audit.link import MISSING, Checked
from graft.provenance.lineage.index import Index
from graft.provenance.lineage.walk import Chain
from graft.provenance.records import RECORDS
from graft.provenance.tracking import mlflow_store
from graft.provenance.tracking.publish import STAGES

NUM_LINES = 12


def rebuilt(index: Index, chain: Chain) -> Iterator[Checked]:
    """Re-executes every stage without run cache and tracking; says which level was reached, and what stood against it.

    A rebuild that cannot run is missing, with the reason: the code, the parameters, the raw files or weights of the
    model are not here, or a stage fails.
    """
    try:
        records = own_records(index, chain)
        yield from offered(records)
        yield from _again(records)
    except (GraftError, OSError) as error:
        yield Checked(MISSING, WHAT, f"could not be run: {error}")


def _again(records: Records) -> Iterator[Checked]:
    if lacking := [stage for stage in STAGES if stage not in records]:
        remedy = "graft lineage --refresh reads the records of the server again"
        raise GraftError(f"no record of {', '.join(lacking)}, so nothing says what it read and made", remedy=remedy)
    commit, paths = commit_of(records), read_from_outside(records)
    with tempfile.TemporaryDirectory(prefix="graft-rebuild-") as folder:
        checkout = place_for_checkout(Path(folder), paths)
        _check_out(commit, checkout)
        bring(paths, checkout)
        say(f"graft audit: rebuilding commit {commit[:12]} in {checkout}")
        _repro(checkout)
        again = {stage: read_json(checkout / RECORDS / f"{stage}.json") for stage in records}
        yield from levels(records, again, checkout)


def own_records(index: Index, chain: Chain) -> Records:
    """The record of each stage of this model, in the order they run in; not those of a model that it grew from."""
    nearest = [chain.first.key]
    for key in nearest:  # grows on the way: what stands nearer to the model comes first
        nearest += [link.to for link in chain.steps[key].links if link.to not in nearest]
    found: Records = {}
    for record in filter(None, map(index.record, nearest)):
        found.setdefault(record["stage"], record)
    return {stage: found[stage] for stage in STAGES if stage in found}


def read_from_outside(records: Records) -> dict[str, str]:
    """What the pipeline reads and no commit may hold: raw files, and a file of weights; the digest of each path."""
    source = records["pretrain-load"]["params"]["pretrain_load"]["source"]
    weights = {source["path"]: source["sha256"].lower()} if source["name"] == "file" else {}
    return {**records["ingest"]["inputs"], **weights}


def place_for_checkout(folder: Path, paths: Mapping[str, str]) -> Path:
    """A folder in `folder`, so deep that files beside or above the repository get a place inside it as well."""
    above = max((posixpath.normpath(path).split("/").count("..") for path in paths), default=0)
    place = folder.joinpath(*["above"] * above, "checkout")
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def commit_of(records: Records) -> str:
    """The one commit that holds the code and parameters of every stage: a recorded one, else one of the newest.

    Raises:
        GraftError: None does.
    """
    objects, problems = Objects(), []
    recorded = dict.fromkeys(commit for record in records.values() if (commit := record["git"]["commit"]))
    try:
        for commit in dict.fromkeys([*recorded, *newest_commits()]):
            problem = _lacking(objects, commit, records)
            if problem is None:
                return commit
            problems += [problem] if commit in recorded else []
    finally:
        objects.close()
    problems.append(f"nor does any of the newest {MOST_COMMITS} commits of the current branch that touch them")
    remedy = "commit before training, and fetch the whole history"
    raise GraftError.of_all("no commit holds all of what this model was made with", problems, remedy=remedy)


def _lacking(objects: Objects, commit: str, records: Records) -> str | None:
    try:
        wrong = sorted(stage for stage, record in records.items() if differences(objects, commit, record))
    except Damaged as damage:
        return f"{commit[:12]}: {damage}"
    return f"{commit[:12]} holds other code or params of {', '.join(wrong)}" if wrong else None


def _check_out(commit: str, checkout: Path) -> None:
    clone = ["git", "clone", "--quiet", "--shared", "--no-checkout", str(Path.cwd()), str(checkout)]
    for command in (clone, ["git", "-C", str(checkout), "checkout", "--quiet", "--detach", commit]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            remedy = "git fsck, or git fetch, brings what is lacking"
            raise GraftError(f"git cannot check out {commit[:12]}: {done.stderr.strip()}", remedy=remedy)
    (checkout / "dvc.lock").unlink(missing_ok=True)  # nothing is taken as done


def bring(paths: Mapping[str, str], checkout: Path) -> None:
    """Files from outside the repository to where the checkout reads them, where the commit does not hold them.

    Args:
        paths: The digest of each, by path; relative ones count from the repository.
        checkout: A working tree.

    Raises:
        GraftError: A path holds other bytes by now, or nothing.
    """
    for path, digest in paths.items():
        there = checkout / path
        if there.exists() and digest_of(there) == digest:
            continue
        if not Path(path).exists() or digest_of(Path(path)) != digest:
            raise GraftError(
                "not what the model was made from",
                where=path,
                rule=f"its digest is {digest}",
                remedy="bring it back to where ingest.root or pretrain_load.source.path says",
            )
        if Path(path).is_file():
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, there)
        else:
            shutil.rmtree(there, ignore_errors=True)
            shutil.copytree(path, there)


def _repro(checkout: Path) -> None:
    environment = environment_of_rebuild()
    command = [f"{Path(sys.executable).parent}/dvc", "repro", "--force", "--no-run-cache"]
    done = subprocess.run(command, cwd=checkout, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        last = "\n".join(done.stdout.decode(errors="replace").splitlines()[-NUM_LINES:])
        raise GraftError(f"the pipeline of the recorded commit does not run here:\n{last}")


def environment_of_rebuild() -> dict[str, str]:
    """Tracking is off, but the store can be read, wherever the checkout lies: weights may come from the registry."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"GRAFT_TRACKING": "off", "DVC_NO_ANALYTICS": "1"}
    environment["MLFLOW_TRACKING_URI"] = mlflow_store.absolute_uri(mlflow_store.store_uri())
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    return environment
