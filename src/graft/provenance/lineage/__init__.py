"""Where a model comes from and what became of an image, answered from records by way of a local index."""
