"""`graft shrink`: ways to a smaller, faster model that scores nearly the same, tried one after the other."""
