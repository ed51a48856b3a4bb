"""Generations of a registered model: the score on every delivery after each update, along the line of parents."""
