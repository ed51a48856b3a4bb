"""Shards on disk, decoding, and training views."""
