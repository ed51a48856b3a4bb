"""Two threads beside the one that works: one reads ahead of it, one writes behind it, with bounded queues between."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")

_END: Any = object()
SECONDS_BETWEEN_LOOKS = 0.1


class ReadAhead(Generic[T]):
    """Takes items from an iterable in a thread of its own; to be iterated within a `with` block.

    Args:
        items: Consumed lazily; an error of theirs is raised to whoever iterates, after the items before it.
        depth: Number of items that may wait at most.
        drop: Whether an item that finds no place is dropped, as a camera demands; otherwise it waits for one.
    """

    def __init__(self, items: Iterable[T], depth: int, *, drop: bool = False) -> None:
        self.num_dropped = 0
        self._items, self._drop = items, drop
        self._queue: queue.Queue[T] = queue.Queue(depth)
        self._stopped = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        self._thread.join(10 * SECONDS_BETWEEN_LOOKS)  # it may hang in a read from the network, and is not waited for

    def __iter__(self) -> Iterator[T]:
        while not self._stopped.is_set():
            try:
                item = self._queue.get(timeout=SECONDS_BETWEEN_LOOKS)
            except queue.Empty:
                continue
            if item is _END:
                break
            yield item
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Ends the iteration after the item at hand, from any thread or signal handler."""
        self._stopped.set()

    def _read(self) -> None:
        try:
            for item in self._items:
                if self._stopped.is_set():
                    return
                if self._drop and self._queue.full():
                    self.num_dropped += 1
                else:
                    self._put(item)
        except BaseException as error:
            self._error = error
        self._put(_END)

    def _put(self, item: T) -> None:
        is_waiting = True
        while is_waiting and not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=SECONDS_BETWEEN_LOOKS)
                is_waiting = False
            except queue.Full:
                continue


class WriteBehind(Generic[T]):
    """Hands items to a function in a thread of its own; leaving the `with` block waits for the last.

    The first error of the function is raised by the next `put`, or on leaving, and nothing is written after it. Where
    the block itself fails, what still waits is not written.

    Args:
        write: Called for each item, in order.
        depth: Number of items that may wait at most; `put` waits for a place.
    """

    def __init__(self, write: Callable[[T], None], depth: int) -> None:
        self._write, self._queue = write, queue.Queue[T](depth)
        self._error: BaseException | None = None
        self._is_failed = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._is_failed = self._is_failed or kind is not None
        self._queue.put(_END)
        self._thread.join()
        if kind is None and self._error is not None:
            raise self._error

    def put(self, item: T) -> None:
        """Adds an item to those that wait."""
        if self._error is not None:
            raise self._error
        self._queue.put(item)

    def _run(self) -> None:
        while (item := self._queue.get()) is not _END:
            if not self._is_failed:
                try:
                    self._write(item)
                except BaseException as error:
                    self._error, self._is_failed = error, True
