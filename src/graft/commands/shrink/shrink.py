"""The course of `graft shrink`: attempts one after the other, until the goal is met or the time is spent."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from graft.commands.shrink.goal import Goal, Outcome
from graft.commands.shrink.plan import Attempt, plan
from graft.commands.shrink.project_copy import OutOfTimeError, ProjectCopy, open_copy
from graft.commands.shrink.siblings import find_siblings
from graft.commands.shrink.trial import VAL, Bench
from graft.foundation.class_map import refuse_several_labels
from graft.foundation.errors import GraftError
from graft.foundation.progress import say
from graft.models.address import is_address
from graft.provenance.dvc_cache import stale_stages

if TYPE_CHECKING:
    from graft.commands.shrink.origin import Origin
    from graft.params.sections import Params


@dataclass
class Course:
    """The fate of the attempts.

    Attributes:
        outcomes: Those that ended well, in the order of the plan.
        problems: The reason why others are impossible, by name.
        left: Names of those that were not tried, as the goal was met or the time spent.
        is_out_of_time: Whether the time was spent before the goal was met.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    is_out_of_time: bool = False


def list_attempts(params: Params, origin: Origin, max_drop: float) -> list[Attempt]:
    """The attempts for a model, cheapest first; refuses a project in which they could not be compared with it.

    Raises:
        GraftError: The stages are not as `dvc repro` leaves them.
    """
    refuse_several_labels(params.task, "graft shrink")
    target = "export" if origin.is_own else "validate"
    if stale := stale_stages(target):
        raise GraftError(
            f"not up to date: {', '.join(stale)}",
            rule=f"attempts are compared with {origin.said} on the data of this project, and begin from its params",
            remedy="dvc repro, or take back what was changed, then graft shrink",
        )
    if not VAL.is_dir():
        raise GraftError("the val images are not here", where=VAL, remedy="dvc checkout, or dvc repro validate")
    crop = params.augment.crop
    return plan(params, origin, find_siblings(origin.spec, (crop.height_px, crop.width_px)), max_drop)


def run_attempts(
    bench: Bench,
    attempts: Sequence[Attempt],
    goal: Goal,
    *,
    minutes: float | None = None,
    try_all: bool = False,
    tell: Callable[[Course], None] = lambda course: None,
) -> Course:
    """Runs attempts until one meets the goal; those that ended before are not run again.

    Args:
        bench: Place of the trials.
        attempts: Attempts in order.
        goal: Limits to reach.
        minutes: Time to spend; an attempt under way is ended then, and goes on with the next command.
        try_all: Whether to go on where the goal is met.
        tell: Function that is told of the course after each outcome.

    Raises:
        GraftError: Every attempt is impossible, with the reasons.
    """
    course, deadline = Course(), None if minutes is None else time.monotonic() + 60 * minutes
    with ExitStack() as stack:
        copies: list[ProjectCopy] = []  # made when the first attempt is to run
        for number, attempt in enumerate(attempts):
            outcome = bench.kept(attempt)
            say(f"\n{attempt.name}, {number + 1} of {len(attempts)}{': tried before' if outcome else ''}")
            try:
                if outcome is None:
                    refuse_to_begin_late(deadline)
                    if not copies:
                        outside = from_outside(bench.params, bench.origin)
                        copies.append(stack.enter_context(open_copy(bench.folder, outside)))
                    outcome = _try(bench, attempt, copies[0], course, deadline)
            except OutOfTimeError:
                course.is_out_of_time, course.left = True, [one.name for one in attempts[number:]]
                break
            if outcome is None:
                continue
            course.outcomes.append(outcome)
            tell(course)
            if not try_all and not goal.misses(outcome):
                course.left = [one.name for one in attempts[number + 1 :]]
                break
    refuse_impossible(course)
    return course


def refuse_to_begin_late(deadline: float | None) -> None:
    """Refuses to begin an attempt when the time is spent.

    Raises:
        OutOfTimeError: It is.
    """
    if deadline is not None and time.monotonic() > deadline:
        raise OutOfTimeError


def refuse_impossible(course: Course) -> None:
    """Refuses a course in which nothing was possible.

    Raises:
        GraftError: It is one; with the reason of every attempt.
    """
    if course.problems and not course.outcomes and not course.is_out_of_time:
        listed = [f"{name}: {reason}" for name, reason in course.problems.items()]
        raise GraftError.of_all("no attempt is possible", listed, remedy="mend what they name, and repeat the command")


def from_outside(params: Params, origin: Origin) -> list[str]:
    """The paths that stages read and git does not hold: images, files of weights, the origin's files."""
    source, strategy = params.pretrain_load.source, params.fine_tune.strategy
    start = source.get("start", source) if isinstance(source, dict) else source
    weights = [start["path"]] if isinstance(start, dict) and "path" in start else []
    teachers = strategy.get("teacher", []) if isinstance(strategy, dict) else []
    named = [one["model"] for one in (teachers if isinstance(teachers, list) else [teachers])]
    roots = [params.ingest.root, *(one.root for one in params.ingest.deliveries.values())]
    paths = [*roots, *weights, *(name for name in named if not is_address(name)), str(origin.folder)]
    return [path for path in dict.fromkeys(paths) if Path(path).exists()]


def _try(bench: Bench, attempt: Attempt, copy: ProjectCopy, course: Course, deadline: float | None) -> Outcome | None:
    """Runs an attempt; notes why it is impossible, where it is."""
    try:
        if attempt.after in course.problems:
            raise GraftError(f"{attempt.after} is impossible")
        return bench.run(attempt, copy, deadline)
    except GraftError as error:
        course.problems[attempt.name] = str(error)
        say(f"{attempt.name} is impossible: {error}")
        return None
