"""One trial: the loop, its validation, checkpoints and pictures."""

__all__ = ["checkpoints", "loop", "sampling"]
