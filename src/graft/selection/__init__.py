"""Choosing a pretrained model: candidates scored on the target's own training data, ranked, recommended, verified."""
