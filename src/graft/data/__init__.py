"""The data that models learn from: formats, shards, images, training views, augmentations, expectations.

Files become rows here, and rows become arrays.
"""
