"""One miniature that has run through all seven stages, shared by every test that only looks at it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from tests.end_to_end.project import Project
from tests.end_to_end.tampering import move_store


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Project:
    """A project after one `dvc repro`; tests may look at it but not change it.

    The processes of one test run build it once, and each looks at a copy of its own.
    """
    own = tmp_path_factory.mktemp("finished")
    run = own.parent.parent if own.parent.name.startswith("popen-") else own.parent
    with FileLock(run / "miniature.lock"):
        note = run / "miniature"  # where it stands, once it is whole
        if not note.exists():
            made = Project.create(tmp_path_factory.mktemp("first clone") / "graft project")
            made.run("dvc", "repro")
            note.write_text(str(made.root), encoding="utf-8")
        original = Path(note.read_text("utf-8"))
        project = Project(own / original.name)
        shutil.copytree(original, project.root, symlinks=True)
    move_store(project.root, original)
    project.made_in = original
    return project
