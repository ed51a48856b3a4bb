"""One miniature that has run through all seven stages, shared by every test that only looks at it."""

from __future__ import annotations

import pytest

from tests.end_to_end.project import Project


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Project:
    """A project after one `dvc repro`; tests may look at it but not change it."""
    project = Project.create(tmp_path_factory.mktemp("first clone") / "graft project")
    project.repro_output = project.run("dvc", "repro").stderr
    return project
