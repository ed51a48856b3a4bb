"""What is wrong with this machine, environment or workspace, and how to mend it; changes nothing, asks briefly."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from graft.commands.doctor import environment, services, workspace
from graft.commands.doctor.finding import Finding

# In the order a person mends them: what stands on nothing else comes first.
CHECKS: tuple[Callable[[], Iterable[Finding]], ...] = (
    environment.python,
    environment.lock_file,
    environment.device,
    environment.disk,
    services.dvc,
    services.mlflow,
    workspace.git,
    workspace.lock_of_dvc,
    workspace.leftovers,
)


def examine() -> list[Finding]:
    """The answers of all checks."""
    return [finding for check in CHECKS for finding in check()]
