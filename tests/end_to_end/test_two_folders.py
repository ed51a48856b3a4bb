"""Same inputs, same bytes: the whole pipeline again in another folder, and what one fingerprint stands for."""

from __future__ import annotations

import pytest

from tests.end_to_end.project import STAGES, Project


@pytest.mark.slow  # the seven stages a second time: a minute and a half
def test_every_stage_writes_the_same_bytes_in_another_folder(finished, tmp_path):
    other = Project.create(tmp_path / "somewhere" / "entirely else", GRAFT_TRACKING="off")
    other.run("dvc", "repro")
    assert other.output_digests() == finished.output_digests()
    for stage in STAGES:
        ours, theirs = finished.record(stage), other.record(stage)
        assert ours["fingerprint"] == theirs["fingerprint"]
        assert {k: v for k, v in ours.items() if k != "git"} == {k: v for k, v in theirs.items() if k != "git"}
