"""The parts Graft's stages are made of: see docs/design.md for the map."""
