"""The tab Judge: who looks at the pictures, tried on two of them."""

__all__ = ["events", "tab"]
