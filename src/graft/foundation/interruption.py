"""Ctrl-C, or a request to terminate, as a wish to end well: what is being written is completed, the command ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

SIGNALS = (signal.SIGINT, signal.SIGTERM)  # of the keyboard, and of systemd, docker stop and kill


@dataclass
class Interruption:
    """Whether Ctrl-C or a request to terminate came."""

    came: bool = False


@contextmanager
def ends_well(stop: Callable[[], None]) -> Iterator[Interruption]:
    """Within the block the first of `SIGNALS` calls `stop`; a second one acts as usual.

    Python hands signals to the main thread alone: elsewhere nothing changes, nor for a signal that the process ignores.
    """
    interruption, before = Interruption(), {each: signal.getsignal(each) for each in SIGNALS}
    before = {each: usual for each, usual in before.items() if usual not in (signal.SIG_IGN, None)}
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return

    def act_as_usual() -> None:
        for each, usual in before.items():
            signal.signal(each, usual)

    def answer(*_: object) -> None:
        interruption.came = True
        act_as_usual()
        stop()

    for each in before:
        signal.signal(each, answer)
    try:
        yield interruption
    finally:
        act_as_usual()
