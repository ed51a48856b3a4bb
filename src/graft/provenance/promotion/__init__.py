"""Promotion of a version to champion: a gate measures, a ledger records, the alias follows the ledger."""
