"""Training views: what an image becomes for one epoch, how it lies on the disk, how it is read in batches."""
