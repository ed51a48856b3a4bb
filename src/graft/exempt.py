"""Which parameters are normalisation, biases or positions: what weight decay leaves alone unless told otherwise."""

from __future__ import annotations

import re

from torch import nn

NORMALISATIONS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
# As torchvision and timm name them: position embeddings, tables and networks, tokens, scales of residual branches.
POSITION = re.compile(
    r"pos(ition)?(al)?_?(embed|enc)|rel(ative)?_(pos|coords)|(cls|class|dist|reg|register|mask)_tokens?$"
    r"|cpb_mlp|layer_?scale|logit_scale"
)


def is_normalisation(module: nn.Module) -> bool:
    """Whether a module normalises its input: torch's layers, their subclasses, and layers of a library's own.

    A library's own is a module without children whose class name says norm, such as timm's `RmsNorm`.
    """
    if isinstance(module, NORMALISATIONS):
        return True
    return "norm" in type(module).__name__.lower() and not any(True for _ in module.children())


def exempt_from_decay(model: nn.Module) -> set[str]:
    """Names of the parameters that weight decay should not shrink towards zero, where nothing is gained by it.

    * normalisation, and whatever has at most one dimension, so all biases (He et al. 2019, "Bag of Tricks",
      section 3.1);
    * position embeddings and tables, class and register tokens, layer and logit scales, which have more dimensions
      than that in torchvision's and timm's transformers, and are therefore known by name;
    * what a part of the model names itself in `no_weight_decay()`, as timm's models do.
    """
    exempt = set()
    for prefix, module in model.named_modules():
        names = {name for name, _ in module.named_parameters()} if is_normalisation(module) else set()
        if callable(say := getattr(module, "no_weight_decay", None)):
            names |= set(say())
        exempt |= {f"{prefix}.{name}" if prefix else name for name in names}
    return {
        name
        for name, parameter in model.named_parameters()
        if parameter.ndim <= 1 or name in exempt or POSITION.search(name)
    }
