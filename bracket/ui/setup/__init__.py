"""The tab Setup: what to train, on which pictures, with which trainer."""

__all__ = ["tab"]
