"""What a process leaves to read, as it grows: logs, curves, and why it ended."""

__all__ = ["cause", "events", "outcome", "signs", "tail", "traces", "watch"]
