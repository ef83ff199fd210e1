"""The tab Results: who wins, how surely, what mattered, the grid, more proof."""

__all__ = ["proof", "tab"]
