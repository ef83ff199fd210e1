"""What a person asked: settings, their limits, and what of them may change."""

__all__ = ["bounds", "changes", "foreign", "judges", "seeds", "settings"]
