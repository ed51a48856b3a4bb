"""The command `graft start`: which source reads a folder, what is in it, and the params that begin with it."""
