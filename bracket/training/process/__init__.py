"""A trainer as a process: its edge, its ranks, its events."""

__all__ = ["events", "program", "ranks"]
