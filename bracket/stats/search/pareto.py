"""Non-dominated points: what is best when two figures count and neither is worth more than the other."""

from __future__ import annotations

from collections.abc import Sequence


def nondominated(points: Sequence[Sequence[float]]) -> list[int]:
    """Indices of the points that no other dominates, in their order. Higher is better in every coordinate.

    A point dominates another when it is nowhere lower and somewhere higher; equal points don't dominate each other.

    Args:
        points: n points of equal length.
    """
    return [i for i, p in enumerate(points) if not any(_dominates(q, p) for q in points)]


def _dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    return all(x >= y for x, y in zip(a, b, strict=True)) and any(x > y for x, y in zip(a, b, strict=True))
