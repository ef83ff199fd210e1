"""What a search shows of its knobs: smoothed, ranked, and where trials melt. It describes, it proves nothing."""

__all__ = ["curves", "importance", "landscape", "pareto", "process", "rungs", "scale"]
