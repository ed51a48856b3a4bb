"""What learns: architectures, where pretrained weights come from, and how a model is saved.

A model is built by name and options alone, offline; nothing here trains it.
"""
