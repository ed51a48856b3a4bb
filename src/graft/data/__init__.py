"""What is learned from: formats, shards, images, training views, augmentations, expectations.

Files become rows here, and rows become arrays.
"""
