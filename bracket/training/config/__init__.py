"""What a training config may hold, and how it is read."""

__all__ = ["reading", "schema"]
