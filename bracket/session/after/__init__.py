"""A finished session again: more proof, other judges, and how far its certificate can be trusted."""

__all__ = ["proof", "rejudge", "verified"]
