"""Predictions for videos: decoded, inferred and encoded side by side; memory does not grow with their length."""
