"""Models: their architectures, the sources of pretrained weights, and the files a model is saved in.

A model is built by name and options alone, offline; nothing here trains it.
"""
