"""How good a model is: scores on a split, test-time augmentation, and the report for people."""
