"""The command line itself: its version, the old name of a command, one file for each command."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from graft.cli import COMMANDS, with_commands
from graft.provenance.promotion.record_chain import STAGES
from graft.provenance.repair import NO_MODEL_FILE, bring_back_no_model

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_version_is_that_of_the_package():
    done = CliRunner().invoke(with_commands(), ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"graft {version('graft')}\n")


@pytest.mark.parametrize("command", ["fix", "mend"])
def test_a_lock_file_is_fixed_under_the_old_name_too(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text("stages: {}\n", encoding="utf-8")
    Path("dvc.lock").write_text("schema: '2.0'\nstages:\n  ingest:\n", encoding="utf-8")
    assert "moved to dvc.lock.damaged" in CliRunner().invoke(with_commands(), [command]).stdout
    assert CliRunner().invoke(with_commands(), [command]).stdout == "nothing to fix\n"
    assert " mend " not in CliRunner().invoke(with_commands(), ["--help"]).stdout


def test_every_command_has_a_file_of_its_own_but_the_stages():
    commands = get_command(with_commands()).commands
    shown = {name.replace("-", "_") for name, command in commands.items() if not command.hidden}
    stages = {stage.replace("-", "_") for stage in STAGES}
    assert shown - stages == set(COMMANDS) - {"stages"}
    assert stages <= shown


def test_what_fix_writes_is_the_file_in_git(tmp_path, monkeypatch):
    """Stages depend on its bytes: another text would make them stale."""
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").touch()
    told = bring_back_no_model()
    assert told is not None
    assert NO_MODEL_FILE.read_bytes() == (REPOSITORY / NO_MODEL_FILE).read_bytes()
    assert bring_back_no_model() is None
