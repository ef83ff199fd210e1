"""Judges against people's votes, and one measure against another."""

__all__ = ["agreement", "bradley_terry", "concordance", "correction"]
