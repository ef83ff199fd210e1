"""Judges that compare embeddings: `clip` and `reference`, the models behind them, and their arithmetic."""

__all__ = ["clip", "model", "reference"]
