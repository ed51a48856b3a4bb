"""The results of evaluate for people: the report, its plots, and the table of images."""
