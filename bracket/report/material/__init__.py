"""What sections and plots draw on: trials, tables and pictures, worked out once."""

__all__ = ["pictures", "searched", "tables"]
