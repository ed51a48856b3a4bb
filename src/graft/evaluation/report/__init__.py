"""What evaluate leaves behind for people: the report, its plots, and the table of images."""
