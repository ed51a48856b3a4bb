"""The work of the smaller commands, one file each; their command lines are in `cli`."""
