"""Checks of this machine, its environment and the workspace: each quick, changing nothing, naming a remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from graft.commands.doctor import environment, services, workspace
from graft.commands.doctor.diagnosis import Diagnosis

# In the order to fix them: what depends on nothing else comes first.
CHECKS: tuple[Callable[[], Iterable[Diagnosis]], ...] = (
    environment.python,
    environment.lock_file,
    environment.extras,
    environment.device,
    environment.disk,
    services.dvc,
    services.mlflow,
    services.ledger_copy,
    workspace.git,
    workspace.dvc_lock,
    workspace.leftovers,
)


def examine() -> list[Diagnosis]:
    """Runs all checks."""
    return [finding for check in CHECKS for finding in check()]
