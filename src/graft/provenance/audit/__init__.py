"""Whether all that is said of a model still holds: every link of its lineage, checked again from the bytes."""
