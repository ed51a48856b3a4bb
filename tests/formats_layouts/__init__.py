"""Miniatures of the layouts data sets are published in: the true folders and names, a few small images."""
