"""A session as it is shown: its tournament, its duel, its grid. Reading changes nothing."""

__all__ = ["bracket", "duel", "grid"]
