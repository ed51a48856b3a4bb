"""How a model learns: the loop, its state, plan, checkpoint and validation, and what can be chosen of it.

Strategies, losses, optimizers, schedules, averaging, sampling and mixing are registries, a folder each.
"""
