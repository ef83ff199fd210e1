"""Pictures and captions on their way to the model, encoded once."""

__all__ = ["batches", "cache", "pictures"]
