"""A dataset told to a trainer: in its own words, and as a folder of links."""

__all__ = ["dialects", "links"]
