"""Attestation: statements about a model that people can check without the repository or the server."""
