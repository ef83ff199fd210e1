"""Aspect buckets: the sizes that pictures of different shapes are trained at, all about as expensive as the square."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache

from bracket.domain import Picture

MULTIPLE = 16
"""Sides are multiples of this: 8 pixels a latent, 2 latents a patch."""
LONGEST = 2.0
"""The most elongated bucket: long side over short side."""


@cache
def bucket_sizes(resolution: int) -> tuple[tuple[int, int], ...]:
    """Every (width, height) in multiples of 16 with at most resolution² pixels, as tall as its width allows, up to 2:1.

    Raises:
        ValueError: `resolution` is below 16, so that no bucket exists.
    """
    if resolution < MULTIPLE:
        raise ValueError(f"resolution {resolution} is below {MULTIPLE}")
    sizes = set()
    for side in range(MULTIPLE, 2 * resolution + 1, MULTIPLE):
        other = resolution * resolution // side // MULTIPLE * MULTIPLE
        if other and max(side, other) <= LONGEST * min(side, other):
            sizes |= {(side, other), (other, side)}
    return tuple(sorted(sizes))


def bucket_of(width: int, height: int, resolution: int, enabled: bool = True) -> tuple[int, int]:
    """The bucket nearest to the picture in shape (by ratio), the larger of two; without buckets the square."""
    if not enabled:
        side = resolution // MULTIPLE * MULTIPLE
        return side, side
    shape = math.log(width / height)

    def distance(size: tuple[int, int]) -> tuple[float, int]:
        return round(abs(math.log(size[0] / size[1]) - shape), 9), -size[0] * size[1]

    return min(bucket_sizes(resolution), key=distance)


def buckets(pictures: Iterable[Picture], resolution: int) -> Mapping[tuple[int, int], int]:
    """How many pictures fall into each (width, height), the fullest first; empty buckets and clips are left out."""
    counts = Counter(bucket_of(p.width, p.height, resolution) for p in pictures if p.width and p.height)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
