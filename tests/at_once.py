"""The same act in several processes at the same moment."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from typing import Any

from graft.foundation.errors import GraftError


def at_once(act: Callable[..., str], arguments: Iterable[tuple[Any, ...]]) -> dict[int, str]:
    """What each process answered, by its number from 1: what `act` returned, or the error it raised.

    Args:
        act: Called with its arguments and a barrier, at which it waits when it is ready.
        arguments: Of each process.
    """
    each = list(arguments)
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(len(each)), context.Queue()
    processes = [
        context.Process(target=_answer, args=(number, act, (*own, barrier), answers))
        for number, own in enumerate(each, 1)
    ]
    for process in processes:
        process.start()
    found = dict(answers.get(timeout=300) for _ in processes)
    for process in processes:
        process.join()
    return found


def _answer(number: int, act: Callable[..., str], arguments: tuple[Any, ...], answers: Any) -> None:
    try:
        answers.put((number, act(*arguments)))
    except Exception as error:  # whoever asked waits for an answer of each
        answers.put((number, str(error) if isinstance(error, GraftError) else repr(error)))
