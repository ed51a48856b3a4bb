"""What the small commands beside the stages do.

One file a command, without the command line: that is `cli`.
"""
