"""The output of augment: every view of every row, statistics of the training data, a preview sheet."""
