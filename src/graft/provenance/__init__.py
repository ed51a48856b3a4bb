"""Where every result comes from, and how it is proven.

Records, tracking in MLflow, lineage, audit, attestation, promotion.
"""
