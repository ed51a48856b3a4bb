"""A model as others use it: the exported file and its proof, the served model, predictions for files."""
