"""Lineage: the origin of a model and the use of an image, answered from records through a local index."""
