"""Processes that never outlive bracket: started under a guard, or by a warm worker."""

__all__ = ["launched", "warm"]
