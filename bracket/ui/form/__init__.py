"""The form's fields as plain values, the settings they mean, and the draft kept of them."""

__all__ = ["draft", "form", "judge", "search"]
