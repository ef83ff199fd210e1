"""Who proposes the next trials, by one protocol (`protocol`)."""

__all__ = ["protocol"]
