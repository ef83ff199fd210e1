"""The tab Monitor: trials while they run, and one of them looked at."""

__all__ = ["tab", "trial"]
