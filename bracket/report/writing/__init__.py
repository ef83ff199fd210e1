"""A report's content as blocks, laid out as Markdown, HTML and grids of pictures."""

__all__ = ["document", "grid", "html", "markdown"]
