"""What a report says, section by section, and `write`, which puts the whole of it into a folder."""

__all__ = ["mattered", "undecided", "write"]
