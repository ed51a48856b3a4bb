"""Every architecture is pruned and brought back by its spec, or says in one message why not."""

from __future__ import annotations

import pytest
import torch

from graft.foundation.errors import GraftError
from graft.models.architectures import MODELS, build_fresh
from graft.models.saved_model import ModelSpec, restore_model
from graft.models.widths import num_macs, num_parameters, usual_size
from graft.training import freezing
from graft.training.strategies.channel_pruning import Pruning
from tests.registries.test_models import NUM_CLASSES, PARAMETERS, ROWS

FRACTION = 0.75
# Those that cannot be pruned, and the reason they give.
REFUSED = {
    "classification-convnext": "would become narrower, and belongs to no layer that has a width",
    "classification-shufflenet_v2": "Torch-Pruning cannot follow its layers: ZeroDivisionError",
}


def test_every_entry_is_tried() -> None:
    assert {(task, name) for task, entries in MODELS.items() for name in entries} == set(ROWS)


@pytest.mark.parametrize("row", PARAMETERS)
def test_it_is_pruned_or_says_why_not(row, request) -> None:
    task, spec = row
    model = build_fresh(task, spec, NUM_CLASSES, 11)
    size, pruning = usual_size(model), Pruning("macs", "magnitude")
    whole, parameters = num_macs(model, size), num_parameters(model)
    if (reason := REFUSED.get(request.node.callspec.id)) is not None:
        with pytest.raises(GraftError, match=reason):
            pruning.prune(model, int(whole * FRACTION))
        return
    pruning.prune(model, int(whole * FRACTION))
    assert FRACTION - 0.1 < num_macs(model, size) / whole <= FRACTION
    assert num_parameters(model) < parameters
    assert not {key for name in model.class_layers for key in model.widths.get(name, {}) if key.startswith("out")}
    facts = ModelSpec(task, spec, NUM_CLASSES, tuple("abcde"), (0.5,) * 3, (0.2,) * 3, {}, 1, True, widths=model.widths)
    again = restore_model(model.state_dict(), ModelSpec.of(facts.as_dict()), where="here")
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        assert torch.equal(again(images), model.eval()(images))
    freezing.apply(again, "all")
    output = again(images)
    (output.logits.sum() + output.auxiliary.sum() if hasattr(output, "auxiliary") else output.sum()).backward()
    assert all(parameter.grad is not None for parameter in again.parameters())
