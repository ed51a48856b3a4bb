"""Videos: files, streams and folders that are sequences, decoded to frames as a player would show them."""
