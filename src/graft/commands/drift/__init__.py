"""Drift: new images without labels, compared with those that a model was scored on."""
