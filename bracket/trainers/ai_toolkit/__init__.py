"""AI-Toolkit: its config, its database of control, what it leaves behind."""

__all__ = ["adapter"]
