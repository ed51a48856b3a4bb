"""Quality and time to quality: recipes of today's build compared with those of a build before, on the same cores.

Each side is a commit in a worktree of its own, trained by its own command line. A score is that of the model that is
kept, the best of its epochs on val; the time counts ingest, validation, views, loading weights, training and scoring
val. Finished trainings are kept in `build/quality/`, and one that was interrupted continues, so that an experiment of
hours can be run in parts: figures of a goal that is not named are there as long as its trainings are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.figures import Figure, Options, Skipped
from benchmarks.quality_goals import GOALS, NotKept, Sides
from benchmarks.recipe_runs import check_out
from graft.foundation.git import git_text
from graft.foundation.progress import say

KEPT, QUICKLY_KEPT = Path("build/quality"), Path("build/quality-quick")
CODE = ("src", "pipeline", "dvc.yaml", "requirements.lock")


def run(options: Options) -> list[Figure]:
    """Trains what is not kept of the goals that are named; returns the figures of every goal that is complete."""
    named, sides = choose_goals(options.goals), open_sides(options)
    figures: list[Figure] = []
    for name, goal in GOALS.items():
        try:
            figures += list(goal(replace(sides, may_train=name in named or not named)))
        except NotKept:
            continue
        except Skipped as reason:
            if name in named:
                raise
            if not named:
                say(f"goal {name} is left out: {reason}")
    return [replace(figure, at_least=None, at_most=None) for figure in figures] if options.quick else figures


def open_sides(options: Options) -> Sides:
    """Checks both builds out.

    Raises:
        SystemExit: Code is not committed, so that a worktree of the last commit is not what stands here.
    """
    if changed := git_text("status", "--porcelain", "--", *CODE):
        raise SystemExit(f"benchmarks: today's build is the last commit, which lacks this; commit first:\n{changed}")
    kept = QUICKLY_KEPT if options.quick else KEPT
    before, now = check_out(options.before, kept / "before"), check_out("HEAD", kept / "now")
    return Sides(before, now, options, may_train=True)


def choose_goals(wanted: Sequence[str] | None) -> list[str]:
    """The goals that are named, where `3` names `3a` and `3b`; [] stands for all.

    Raises:
        SystemExit: There is no such goal.
    """
    chosen = {number: [name for name in GOALS if name.startswith(number)] for number in wanted or ()}
    if unknown := [number for number, names in chosen.items() if not names]:
        raise SystemExit(f"benchmarks: no goal is called {', '.join(unknown)}; there are {', '.join(sorted(GOALS))}")
    return [name for names in chosen.values() for name in names]
