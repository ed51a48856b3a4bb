"""`graft audit --rebuild`: runs the pipeline again in a clean checkout of the recorded commit, and compares."""

from __future__ import annotations

import os
import posixpath
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from graft.foundation.content import digest_of
from graft.foundation.errors import GraftError
from graft.foundation.git import git_failure
from graft.foundation.progress import say
from graft.models.address import is_address
from graft.models.pins import weights_file
from graft.provenance.audit.agreement import WHAT, Records, compare_machines, compare_rebuild
from graft.provenance.audit.commits import MOST_COMMITS, DamagedObjectError, Objects, differences, newest_commits
from graft.provenance.audit.link import MISSING, Check
from graft.provenance.lineage.index import Index
from graft.provenance.lineage.walk import Chain, own_records
from graft.provenance.records import Record
from graft.provenance.stages import STAGES, is_ingest, record_path, weights_source
from graft.provenance.tracking import mlflow_store

NUM_LINES = 12


def rebuild_model(index: Index, chain: Chain) -> Iterator[Check]:
    """Runs every stage again, without run cache and tracking, and yields how well the result agrees.

    A rebuild that cannot run is missing, with the reason: code, parameters, raw files or weights of the model are not
    here, or a stage fails.
    """
    try:
        records = own_records(index, chain)
        yield from compare_machines(records)
        yield from _rebuild(records)
    except (GraftError, OSError) as error:
        yield Check(MISSING, WHAT, f"could not be run: {error}")


def _rebuild(records: Records) -> Iterator[Check]:
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
        again = {stage: Record.read(checkout / record_path(stage)) for stage in records}
        yield from compare_rebuild(records, again, checkout)


def read_from_outside(records: Records) -> dict[str, str]:
    """The digests of paths that the pipeline reads from outside the commit: raw files, and files of weights."""
    source = weights_source(records["pretrain-load"].params)
    weights = {source["path"]: source["sha256"].lower()} if source["name"] == "file" else {}
    for teacher in (teacher for record in records.values() for teacher in record.teachers):
        if not is_address(teacher["model"]):
            weights[str(weights_file(Path(teacher["model"]), teacher["model"]))] = teacher["sha256"]
    raw = {path: sha for stage, record in records.items() if is_ingest(stage) for path, sha in record.inputs.items()}
    return {**raw, **weights}


def place_for_checkout(folder: Path, paths: Mapping[str, str]) -> Path:
    """Chooses a folder so deep in `folder` that files beside or above the repository get a place in there as well."""
    above = max((posixpath.normpath(path).split("/").count("..") for path in paths), default=0)
    place = folder.joinpath(*["above"] * above, "checkout")
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def commit_of(records: Records) -> str:
    """Finds a commit that holds the code and parameters of every stage: a recorded one, else one of the newest.

    Raises:
        GraftError: No commit does.
    """
    objects, problems = Objects(), []
    recorded = dict.fromkeys(commit for record in records.values() if (commit := record.git.commit))
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
    except DamagedObjectError as damage:
        return f"{commit[:12]}: {damage}"
    return f"{commit[:12]} holds other code or params of {', '.join(wrong)}" if wrong else None


def _check_out(commit: str, checkout: Path) -> None:
    clone = ("clone", "--quiet", "--shared", "--no-checkout", str(Path.cwd()), str(checkout))
    for command in (clone, ("-C", str(checkout), "checkout", "--quiet", "--detach", commit)):
        if problem := git_failure(*command):
            remedy = "git fsck names objects that are damaged or missing; git fetch brings missing ones"
            raise GraftError(f"git cannot check out {commit[:12]}: {problem}", remedy=remedy)
    (checkout / "dvc.lock").unlink(missing_ok=True)  # nothing is taken as done


def bring(paths: Mapping[str, str], checkout: Path) -> None:
    """Copies files from outside the commit to the places where the checkout reads them.

    Args:
        paths: Digests by path; relative paths count from the repository.
        checkout: Working tree to copy to.

    Raises:
        GraftError: A path now holds other bytes, or nothing.
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
                remedy="bring it back to where ingest.root, pretrain_load.source or fine_tune.strategy.teacher says",
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
    """The environment of a rebuild: tracking is off, but weights can be read from the registry."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"GRAFT_TRACKING": "off", "DVC_NO_ANALYTICS": "1"}
    environment["MLFLOW_TRACKING_URI"] = mlflow_store.absolute_uri(mlflow_store.store_uri())
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    return environment
