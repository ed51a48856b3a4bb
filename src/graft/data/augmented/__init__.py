"""What augment writes: every view of every row, statistics of the training data, a sheet to look at."""
