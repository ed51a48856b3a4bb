"""Audit: every link of a model's lineage, checked again from the bytes."""
