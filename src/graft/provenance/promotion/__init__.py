"""Which version is the champion: a gate that measures, a ledger that remembers, an alias that follows."""
