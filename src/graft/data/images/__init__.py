"""Encoded images and masks to arrays and back: pictures, stacks of channels, the files these consist of."""
