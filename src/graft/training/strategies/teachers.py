"""The teachers of a training, read and judged: same task, same channels, and classes that have the same names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from graft.foundation.errors import GraftError
from graft.foundation.progress import say, warn
from graft.models.pins import Downloader
from graft.models.saved_model import ModelSpec
from graft.models.teacher import Teacher, load_teacher
from graft.training.strategies.divergences import TASKS
from graft.training.strategies.parent import shortened

WHERE = "fine_tune.strategy.teacher"
FEWEST_CLASSES = 2  # of one class alone every answer is the same


def teachers_of(options: Mapping[str, Any], student: ModelSpec, download: Downloader) -> tuple[Teacher, ...]:
    """Loads the teachers that the options of a strategy name.

    Args:
        options: Options of the strategy; those without the option `teacher` name none.
        student: Spec of the model that learns.
        download: Function that brings the files of a registered model here.

    Raises:
        GraftError: A teacher is not there, is not the pinned one, or answers other questions than the student's.
    """
    found = tuple(load_teacher(pinned, download) for pinned in options.get("teacher", ()))
    specs = {teacher.name: teacher.spec for teacher in found}
    if problems := [*unfit_teachers(specs, student.task, student.class_names, (student.channels, student.max_value))]:
        raise problems[0] if len(problems) == 1 else GraftError.of_all("teachers that do not fit", problems)
    for name, spec in specs.items():
        if missing := _missing(spec, student.class_names):
            say(f"{name} teaches all classes but {missing}, which it does not know")
        if spec.resize != student.resize:
            warn(f"{name} was trained with preprocess.resize: {spec.resize}, and sees views with {student.resize}")
    return found


def unfit_teachers(
    teachers: Mapping[str, ModelSpec],
    task: str,
    class_names: Sequence[str] | None,
    stack: tuple[tuple[str, ...], int | None] | None,
) -> Iterator[GraftError]:
    """The reasons why models cannot teach a student, each as an error.

    Args:
        teachers: Their specs by name.
        task: Task of the student.
        class_names: Its classes; None where they are not known yet.
        stack: Its channels and their largest value; None where they are not known yet.
    """
    for name, spec in teachers.items():
        if spec.task != task:
            what, rule = f"it is trained for {spec.task}, the student for {task}", "a teacher answers to the same task"
        elif stack is not None and (spec.channels, spec.max_value) != stack:
            what = f"it takes {_in_words(spec.channels, spec.max_value)}, and the images have {_in_words(*stack)}"
            rule = "teacher and student look at the same views"
        elif class_names is not None and len(shared_classes(spec, class_names)) < FEWEST_CLASSES:
            what = f"it lacks {_missing(spec, class_names)}, and knows {shortened(spec.class_names, 40)}"
            rule = f"classes are matched by name, and the teacher must know at least {FEWEST_CLASSES} of them"
        else:
            continue
        yield GraftError(f"{name} cannot teach: {what}", where=WHERE, rule=rule, remedy="choose another teacher")
    if class_names is not None and len({shared_classes(spec, class_names) for spec in teachers.values()}) > 1:
        lacking = [f"{name} lacks {_missing(spec, class_names) or 'none'}" for name, spec in teachers.items()]
        yield GraftError(
            f"the teachers know different classes: {'; '.join(lacking)}",
            where=WHERE,
            rule="the mean of their answers is taken over the same classes",
            remedy="leave those out that know fewer",
        )


def unfit_divergence(kind: str, task: str, class_names: Sequence[str], known: Sequence[str]) -> GraftError | None:
    """The error of a divergence that is not for the task, or that needs classes which the teacher lacks.

    Args:
        kind: Name of the divergence.
        task: Task of the student.
        class_names: Its classes.
        known: Those of them that the teacher knows.
    """
    where = "fine_tune.strategy.divergence"
    if task not in TASKS[kind]:
        usable = " or ".join(name for name, tasks in TASKS.items() if task in tasks)
        rule = f"{kind} serves {' and '.join(TASKS[kind])}"
        return GraftError(f"divergence: {kind} for {task}", where=where, rule=rule, remedy=f"set divergence: {usable}")
    if kind == "decoupled" and (missing := [name for name in class_names if name not in known]):
        return GraftError(
            f"divergence: decoupled, and the teacher lacks {', '.join(missing)}",
            where=where,
            rule="it sets the right class apart from the others, so the teacher has to know all of them",
            remedy="set divergence: kl, which leaves out what the teacher lacks, or choose another teacher",
        )
    return None


def refuse_other_size(teacher: Teacher, size: Sequence[int]) -> None:
    """Refuses views of a size that the teacher cannot look at.

    Raises:
        GraftError: It takes images of one other size.
    """
    fixed = teacher.model.fixed_size_px
    if fixed is not None and tuple(size) != (fixed, fixed):
        raise GraftError(
            f"{teacher.name} cannot teach from views of {size[1]}×{size[0]} px",
            where=WHERE,
            rule=f"it takes images of exactly {fixed}×{fixed} px, and sees the views of the student",
            remedy=f"set augment.crop to {fixed}×{fixed} px and fine_tune.sizes: [1.0], or choose another teacher",
        )


def shared_classes(spec: ModelSpec, class_names: Sequence[str]) -> tuple[str, ...]:
    """Those of the names that a model has a class for, in their order."""
    return tuple(name for name in class_names if name in spec.class_names)


def _missing(spec: ModelSpec, class_names: Sequence[str]) -> str:
    return ", ".join(name for name in class_names if name not in spec.class_names)


def _in_words(channels: Sequence[str], max_value: int | None) -> str:
    largest = "" if max_value is None else f" up to {max_value}"
    return f"{len(channels)} channels{largest} ({', '.join(channels)})"
