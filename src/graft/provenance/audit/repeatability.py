"""Search for operations of torch that do not repeat: each is run several times on the same values and compared."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

# Sums in a random order agree by chance now and then; this many trials in a row seldom do.
NUM_TRIALS = 3
# These return uninitialised memory or change its layout; nobody reads it before it is written.
UNWRITTEN = ("aten::empty", "aten::new_empty", "aten::resize", "aten::as_strided_", "aten::set_")
DECLARED = re.compile(r"(\S+) does not have a deterministic implementation")


@dataclass(frozen=True)
class Repetition:
    """The result of repeating every operation of a piece of work.

    Attributes:
        num_calls: Number of operations, those of backward and optimizer included.
        differing: Number of calls that gave other bits for the same values, by operation (torch's name, such as
            `aten::index_add_`).
        declared: Names of operations that torch says have no deterministic implementation on this device.
    """

    num_calls: int
    differing: dict[str, int]
    declared: tuple[str, ...]


def repeat(work: Callable[[], None]) -> Repetition:
    """Runs a piece of work twice: once repeating each of its operations, once with torch's own warnings on.

    Args:
        work: Function to watch; it is called twice, and so are its side effects.
    """
    with OperationRepeater() as seen:
        work()
    with collect_warnings() as declared:
        work()
    return Repetition(seen.num_calls, dict(seen.differing), tuple(sorted(declared)))


class OperationRepeater(TorchDispatchMode):
    """A context in which every operation is tried `NUM_TRIALS` times on copies before it is executed.

    Trials are compared with each other, not with the operation itself, which may choose another kernel for another
    memory layout. Random numbers are drawn from the same state of the generator each time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.num_calls = 0
        self.differing: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.num_calls += 1
        if not func.is_view and not func.name().startswith(UNWRITTEN):
            first = _try(func, args, kwargs)
            if not all(_same_bits(first, _try(func, args, kwargs)) for _ in range(NUM_TRIALS - 1)):
                self.differing[func.name()] += 1
        return func(*args, **kwargs)


@contextmanager
def collect_warnings() -> Iterator[set[str]]:
    """Collects the operations that torch warns about when it is asked for deterministic ones and has none."""
    found: set[str] = set()
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            yield found
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
    found.update(match[1] for warning in said if (match := DECLARED.match(str(warning.message))))


def _try(func: Any, args: Any, kwargs: Any) -> list[Tensor]:
    """The results and arguments of a trial: an operation may write to either (batch normalisation does, undeclared)."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    args, kwargs = tree_map_only(Tensor, torch.clone, (args, kwargs))
    args, kwargs = tree_map_only(torch.Generator, torch.Generator.clone_state, (args, kwargs))
    with torch.random.fork_rng(devices, enabled=torch.Tag.nondeterministic_seeded in func.tags):
        return _tensors((func(*args, **kwargs), args, kwargs))


def _tensors(tree: Any) -> list[Tensor]:
    """The tensors in a tree; those of bytes are left out, because they are pixels or work space of cuDNN."""
    found = (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))
    return [leaf for leaf in found if leaf.layout == torch.strided and leaf.dtype != torch.uint8]


def _same_bits(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(
        one.shape == other.shape and torch.equal(_bits(one), _bits(other))
        for one, other in zip(first, second, strict=True)
    )


def _bits(tensor: Tensor) -> Tensor:
    return tensor.detach().reshape(-1).view(torch.uint8)
