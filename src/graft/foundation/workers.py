"""Map over items on every core, in order, with bounded memory, and leave nothing behind when the parent dies."""

from __future__ import annotations

import collections
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any, TypeVar

from graft.foundation.errors import GraftError

T = TypeVar("T")
R = TypeVar("R")

# Starting a process and importing cv2 and pyarrow in it takes about a second: for fewer items one process is faster.
FEWEST_ITEMS_FOR_A_POOL = 64
CHUNK = 16


def map_in_order(
    function: Callable[[T], R], items: Iterable[T], *, num_items: int, num_workers: int | None = None
) -> Iterator[R]:
    """Yields `function(item)` for each item, in order; at most a few chunks a worker are in memory at a time.

    Args:
        function: Picklable, of one argument.
        items: Consumed lazily.
        num_items: Number of items (few items are mapped in this process).
        num_workers: Processes; the number of usable cores by default.

    Raises:
        GraftError: A worker process was killed.
    """
    num_workers = num_workers or num_usable_cores()
    if num_workers == 1 or num_items < FEWEST_ITEMS_FOR_A_POOL:
        yield from map(function, items)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, mp_context=context, initializer=die_with_parent) as pool:
        pending: collections.deque[Future[list[R]]] = collections.deque()
        try:
            for chunk in _batched(items, CHUNK):
                pending.append(pool.submit(_map_chunk, function, chunk))
                if len(pending) >= 2 * num_workers:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        except BrokenProcessPool:
            raise GraftError(
                "a worker process was killed, as the system does when memory runs out",
                remedy="close other programs and run the command again; larger images need more memory",
            ) from None
        finally:
            for future in pending:  # an interrupted parent shall not wait for work nobody wants
                future.cancel()


def num_usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _map_chunk(function: Callable[[Any], R], chunk: tuple[Any, ...]) -> list[R]:
    return [function(item) for item in chunk]


def _batched(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    iterator = iter(items)
    while chunk := tuple(itertools.islice(iterator, size)):
        yield chunk


def die_with_parent() -> None:
    """A killed parent cannot say goodbye: a thread waits for its death and ends the worker.

    Ctrl-C reaches every process of a terminal; the parent alone answers it.
    """
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)  # one process a core already; OpenCV's own threads would fight over them
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()
