"""The tab Run: how much to spend, and what that can prove."""

__all__ = ["tab"]
