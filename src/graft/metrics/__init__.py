"""Scores of predictions: nearly all follow from integer confusion counts; calibration takes a pass of its own."""
