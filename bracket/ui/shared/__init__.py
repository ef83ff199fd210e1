"""What every tab uses: context, look, header, formats, charts."""

__all__ = [
    "choice",
    "context",
    "format",
    "gallery",
    "header",
    "loss_chart",
    "narrow",
    "outcome",
    "relay",
    "served",
    "theme",
]
