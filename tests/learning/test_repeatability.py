"""Operations that do not repeat are named, those that do are not, and looking changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy, dropout

from graft.models.architectures import build_fresh
from graft.provenance.audit.repeatability import OperationRepeater, collect_warnings, repeat


@pytest.fixture
def threads() -> Iterator[None]:
    """Enough of them that the order of their additions is one of chance; torch left as it was."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before[0])
    torch.use_deterministic_algorithms(before[1])


def sums_in_any_order() -> None:
    """Many values added into three places, by several threads at once unless torch is told to be deterministic."""
    generator = torch.Generator().manual_seed(1)
    places, values = torch.randint(0, 3, (100_000,), generator=generator), torch.randn(100_000, generator=generator)
    torch.zeros(3).index_put_((places,), values, accumulate=True)


def test_an_operation_that_does_not_repeat_is_named_until_torch_is_told_to_be_deterministic(threads: None) -> None:
    torch.use_deterministic_algorithms(False)
    assert repeat(sums_in_any_order).differing == {"aten::index_put_": 1}
    torch.use_deterministic_algorithms(True)
    assert repeat(sums_in_any_order).differing == {}


def test_what_torch_itself_declares_is_named_and_its_setting_stays(threads: None) -> None:
    for setting in (False, True):
        torch.use_deterministic_algorithms(setting)
        with collect_warnings() as found:
            torch.zeros(3).put_(torch.tensor([0, 1, 0]), torch.ones(3))
            torch.ones(3).sum()
        assert found == {"put_"}
        assert torch.are_deterministic_algorithms_enabled() is setting
        assert not torch.is_deterministic_algorithms_warn_only_enabled()


def test_drawing_random_numbers_and_unwritten_memory_are_no_fault() -> None:
    generator = torch.Generator().manual_seed(1)
    with OperationRepeater() as seen:
        values = dropout(torch.rand(1000, generator=generator), 0.5)
        torch.empty(1000)
        values.view(10, 100).t_().add_(1)
    assert seen.num_calls > 4
    assert not seen.differing
    again = torch.Generator().manual_seed(1)
    torch.rand(1000, generator=again)
    assert torch.equal(generator.get_state(), again.get_state())  # drawn from once, not once a trial


def test_a_training_step_that_is_watched_gives_what_it_gives_alone() -> None:
    def step(watch: AbstractContextManager[Any]) -> dict[str, torch.Tensor]:
        model = build_fresh("segmentation", {"name": "lraspp"}, 3, 5).to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(model.parameters(), 0.01)
        images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
        torch.manual_seed(2)
        with watch:
            cross_entropy(model(images), torch.ones(2, 64, 64, dtype=torch.long)).backward()
            optimizer.step()
        return model.state_dict()

    seen = OperationRepeater()
    plain, state = step(nullcontext()), step(seen)
    assert seen.num_calls > 1000  # forward, backward and optimizer
    assert not seen.differing
    assert all(torch.equal(plain[name], state[name]) for name in plain)
