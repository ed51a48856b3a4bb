"""Stories of deliveries and pairs of domains: their params hold, and what is not here is left out."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks import adaptation, continual
from benchmarks.domains import change_default_job, digest_of_params
from benchmarks.small_trainings import OF_QUICK, is_here, with_counts
from graft.params.compatibility import find_disagreements

OPTIONS = Namespace(quick=False, threads=1, seeds=None, camvid=None)


@pytest.mark.parametrize("name", continual.STORIES)
def test_every_training_of_a_story_has_params_that_go_together(name: str) -> None:
    story = continual.STORIES[name]
    for way in continual.BOUNDS | dict(story.ways):
        plan = [*continual.Telling(name, way, 1, OPTIONS).plan()]
        assert len({digest_of_params(params) for _, params in plan}) == len(plan)
        for known, params in plan:
            learnt = params.augment.memory["new"] if isinstance(params.augment.memory, dict) else known[:1]
            assert params.ingest.source == dict(story.deliveries[learnt[0]]) or way == continual.JOINT
            assert (params.augment.parent == "pretrained") == (way.endswith(("herding", "loss")) and len(known) > 1)


def test_every_source_has_the_name_of_a_delivery() -> None:
    names = {name for story in continual.STORIES.values() for name in (*story.deliveries, *story.judges)}
    names |= {name for pair in adaptation.PAIRS.values() for name in pair.judges} | {"half", "whole"}
    for name in names:
        assert change_default_job({"ingest.batch": name}).ingest.names == (name,)


@pytest.mark.parametrize("name", adaptation.PAIRS)
def test_every_way_to_adapt_has_params_that_go_together(name: str) -> None:
    pair = adaptation.PAIRS[name]
    found = {way: adaptation.params_of(pair, way, 1, OPTIONS) for way in adaptation.WAYS}
    assert len({digest_of_params(params) for params in found.values()}) == len(found)
    for way, params in found.items():
        assert list(find_disagreements(params)) == [], way


def test_camvid_is_left_out_or_its_absence_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    filmed = continual.DRIVES["0001TP"]
    assert is_here("x", continual.LIGHTS["day"], OPTIONS)
    assert not is_here("the story x", filmed, OPTIONS)
    assert "the story x is left out: name its folder with --camvid" in capsys.readouterr().err
    assert is_here("x", filmed, Namespace(camvid=tmp_path))
    with pytest.raises(SystemExit, match="there is no folder"):
        is_here("x", filmed, Namespace(camvid=tmp_path / "gone"))


def test_little_work_is_done_on_few_images() -> None:
    assert with_counts(continual.DRIVES["0001TP"], OF_QUICK)["num_train"] == OF_QUICK["num_train"]
    night = with_counts(adaptation.PAIRS["day to rain at night"].half, OF_QUICK)
    assert (night["num_train"], night["num_unlabelled"]) == (OF_QUICK["num_train"], OF_QUICK["num_train"])


def test_a_ladder_says_which_steps_it_kept(tmp_path: Path) -> None:
    curves = tmp_path / "curves.csv"
    rows = "1,0.3,0.2,0.0,0.0\n2,0.3,0.4,1.0,0.0\n3,0.2,0.4,1.0,1.0\n"
    curves.write_text(f"epoch,val_score,target_score,step.style,step.masked\n{rows}")
    assert adaptation.kept_steps(curves) == {"style": 1.0, "masked": 0.0}
    curves.write_text("epoch,val_score\n1,0.5\n")
    assert adaptation.kept_steps(curves) == {}
