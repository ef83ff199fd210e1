"""Judges put to the test on pictures made worse by a known amount."""

__all__ = ["bench", "pairs"]
