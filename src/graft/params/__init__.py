"""`params.yaml`: its sections, how it is read and written, what does not go together, and recipes."""
