"""Ctrl-C as a wish to end well: what is being written is completed, and the command ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Interruption:
    """Whether Ctrl-C came."""

    came: bool = False


@contextmanager
def ends_well(stop: Callable[[], None]) -> Iterator[Interruption]:
    """Within the block the first Ctrl-C calls `stop`; a second one interrupts as usual.

    Python hands signals to the main thread alone: elsewhere nothing changes, nor where the process ignores them.
    """
    interruption, before = Interruption(), signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is signal.SIG_IGN:
        yield interruption
        return

    def answer(*_: object) -> None:
        interruption.came = True
        signal.signal(signal.SIGINT, before)
        stop()

    signal.signal(signal.SIGINT, answer)
    try:
        yield interruption
    finally:
        signal.signal(signal.SIGINT, before)
