"""The report's plots, for light and for dark paper."""

__all__ = ["drawing", "pareto", "plots"]
