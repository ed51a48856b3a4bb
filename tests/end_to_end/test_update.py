"""A champion grows by a delivery: refused, killed on the way, finished and promoted, as a person would do it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time

import pytest

from graft.foundation.content import read_json
from tests.end_to_end.project import Project
from tests.end_to_end.test_promotion_story import LENIENT, NAME, champion, copy_of, ledger_of

pytestmark = pytest.mark.slow

DAY = "{name: scenes, domain: day, num_train: 8, num_val: 4, num_test: 4, width_px: 128, height_px: 96}"
PROMOTED = ["intent", "confirmed"]
# In units of what an update takes before it writes params.yaml, so that on a slow machine too most meet what follows.
# What a killed run finished is not done again: later kills meet later stages.
MOMENTS = [tenths / 10 for tenths in random.Random(12).choices(range(2, 40), k=20)]


@pytest.fixture(scope="module")
def project(finished, tmp_path_factory) -> Project:
    """A project whose first model is the champion."""
    made = copy_of(finished, tmp_path_factory.mktemp("updated"))
    made.set(LENIENT | {"promotion.max_forgetting": 0.9})
    made.commit("The rules")
    made.run("graft", "promote")
    made.commit("The champion")
    (made.root.parent / "November").mkdir()
    return made


def command(project: Project) -> tuple[str, ...]:
    options = ("--memory", "5", "--choice", "herding", "--source", DAY)
    return ("graft", "update", str(project.root.parent / "November"), *options)


def params_of(project: Project) -> str:
    return (project.root / "params.yaml").read_text("utf-8")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (("nowhere",), "ingest.deliveries.nowhere.root is 'nowhere', and there is nothing"),
        ((".", "--like", "march"), "there is no delivery 'march'"),
        ((".", "--source", "{domain: day}"), "a source is a name"),
        ((".", "..", "--name", "two"), "--name with several folders"),
    ],
)
def test_what_is_no_delivery_changes_nothing(project, changed, message):
    before = params_of(project)
    done = project.run("graft", "update", *changed, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert params_of(project) == before


def test_one_that_forgets_too_much_is_registered_as_refused_and_the_candidate_stays(project):
    project.set({"promotion.max_forgetting": 0.01, "fine_tune.learning_rate": 0.01})
    project.commit("A rate at which it forgets")
    refused = project.run(*command(project), check=False)
    assert refused.returncode == 3, refused.stderr
    assert "refused: version 2 is registered with the reason and is not the candidate" in refused.stdout
    assert "mean IoU forgotten on delivery first" in refused.stdout
    assert "is not the candidate: refused: mean IoU forgotten" in project.run("graft", "publish").stdout
    assert int(project.store().get_model_version_by_alias(NAME, "candidate").version) == 1
    assert len(ledger_of(project)) == 2  # nothing was frozen
    for given_up in (("git", "checkout", "params.yaml", "dvc.lock"), ("dvc", "checkout")):
        project.run(*given_up)
    project.set({"promotion.max_forgetting": 0.9, "fine_tune.learning_rate": 1e-3})
    project.commit("The rate of before")


def is_as_before_or_whole(project: Project) -> None:
    """The champion stays, no update is the candidate before it was judged, and the ledger has whole entries."""
    assert champion(project) == 1
    candidate = project.store().get_model_version_by_alias(NAME, "candidate")
    assert int(candidate.version) == 1 or candidate.tags.get("graft.update") == "forgot no more than 0.9"
    assert [entry["phase"] for entry in ledger_of(project)] in (PROMOTED, [*PROMOTED, "frozen"])


def test_killed_anywhere_it_is_as_before_or_whole_and_goes_on_to_a_promoted_update(project):
    before, begun, log = params_of(project), time.monotonic(), project.root.parent / "killed.log"
    planned = project.run(*command(project), "--dry-run").stdout
    start_seconds = time.monotonic() - begun
    assert "+  strategy: {name: incremental, train: all}" in planned
    assert params_of(project) == before
    found = {before}
    for moment in MOMENTS:
        started = project.start(*command(project), log=log)
        try:
            assert started.wait(moment * start_seconds) == 0, log.read_text("utf-8")
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()
        found.add(params_of(project))
        is_as_before_or_whole(project)
    (whole,) = found - {before}  # one text, whenever it was killed
    assert "november" in whole
    project.run("graft", "check")
    done = project.run(*command(project))
    told = done.stdout
    assert "has not been judged yet" not in told + done.stderr
    assert f"models:/{NAME}@candidate is version 3" in told
    for row in ("all images", "delivery first", "delivery november", "class road"):
        assert row in told
    memory = read_json(project.root / "data/augmented/memory.json")
    assert {name: len(images) for name, images in memory.items()} == {"first": 5, "november": 8}
    seen = read_json(project.root / "models/fine_tuned/seen.json")["train"]
    assert sorted(seen) == sorted(digest for images in memory.values() for digest in images.values())
    chosen = read_json(project.root / "reports/records/augment.json")
    assert chosen["params"]["augment"]["memory"]["choice"] == "herding"
    assert "models/pretrained" in chosen["inputs"]
    answer = project.run("graft", "lineage", "--of", next(iter(memory["first"]))).stdout
    assert f"models:/{NAME}/3 (candidate): trained on it" in answer
    assert read_json(project.root / "models/pretrained/card.json")["origin"] == f"models:/{NAME}/1"
    frozen = ledger_of(project)[2]
    assert (frozen["kind"], frozen["test_set"]["version"]) == ("freeze", 2)
    assert [part["name"] for part in frozen["test_set"]["parts"]] == ["test", "november"]
    assert frozen["test_set"]["parts"][0]["digest"] == ledger_of(project)[0]["test_set"]["digest"]
    shown = project.run("graft", "generations").stdout
    assert "backward transfer: " in shown
    rows = [line.split("│")[1].strip() for line in shown.splitlines() if line.startswith("│")]
    assert rows == ["1", "3", "forgotten"]
    page = (project.root / "reports/generations.html").read_text("utf-8")
    assert f"{NAME}, 2 generations to version 3" in page
    assert "stays as it is" in project.run(*command(project)).stdout
    project.commit("The update")
    project.run("graft", "promote")
    assert champion(project) == 3
    judged = {rule["rule"]: rule["verdict"] for rule in ledger_of(project)[3]["rules"]}
    assert judged["mean IoU forgotten on delivery november"] == "holds"
    assert judged["mean IoU forgotten on delivery first"] == "holds"
    assert "nothing to do" in project.run("graft", "promote").stdout
