"""The foundation of all packages: errors, choices, progress, workers, the class map, content and its digests.

Imports nothing of Graft above it.
"""
