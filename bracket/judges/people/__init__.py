"""A person's blind votes, as a judge and beside other judges."""

__all__ = ["human", "votes"]
