"""How good predictions are: everything follows from integer confusion counts, plus one pass for calibration."""
