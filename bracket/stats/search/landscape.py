"""Two knobs against the score: a smoothed map that knows where it is unsure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bracket.stats.duel.signflip import Floats, as_floats
from bracket.stats.search.process import fit

NEEDED = 8
"""Trials that a map takes."""
NEEDED_VALUES = 3
"""Different values of each knob that it takes."""


@dataclass(frozen=True)
class Landscape:
    """The expected score on a grid of two knobs.

    Attributes:
        x, y: the knobs' values along the grid, shapes (columns,) and (rows,), evenly spaced on each knob's scale.
        mean, sd: the smoothed score (lower is better) and its standard deviation, each of shape (rows, columns).
        points, scores: the trials it was made from, shapes (trials, 2) and (trials,).
        best: the knobs' values where the mean is lowest.
        noise: standard deviation of a single trial about the surface.
    """

    x: Floats
    y: Floats
    mean: Floats
    sd: Floats
    points: Floats
    scores: Floats
    best: tuple[float, float]
    noise: float

    @property
    def limit(self) -> float:
        """The deviation at which the 95 % interval is as wide as the whole map is high.

        Above it the map can't tell its heights from its depths.
        """
        return float(np.ptp(self.mean)) / (2 * 1.96)

    @property
    def unsure(self) -> float:
        """The share of the map whose deviation is above `limit`."""
        return float((self.sd > self.limit).mean())


def landscape(
    points: ArrayLike, scores: ArrayLike, *, log: tuple[bool, bool] = (False, False), size: int = 41, seed: int = 0
) -> Landscape | None:
    """Smooths scores over two knobs by a Gaussian process with a length for each; see `bracket.stats.search.process`.

    The other knobs vary too and count as noise. Failed trials don't belong in it: they have no score.

    Args:
        points: shape (trials, 2), the two knobs' values.
        scores: shape (trials,), lower is better.
        log: whether each knob lives on a logarithmic scale (values > 0).
        size: columns and rows of the grid, which spans what was tried.
        seed: draws the trials that are used when there are more than a process takes.

    Returns:
        None for fewer than `NEEDED` trials, or fewer than `NEEDED_VALUES` different values of a knob.

    Raises:
        ValueError: shapes that differ, values that are not finite, a value ≤ 0 on a logarithmic scale.
    """
    given, y = as_floats(points, ndim=2), as_floats(scores, ndim=1)
    if given.shape != (y.size, 2):
        raise ValueError(f"{y.size} scores but points of shape {given.shape}")
    if y.size < NEEDED or min(np.unique(given[:, axis]).size for axis in (0, 1)) < NEEDED_VALUES:
        return None
    if np.any(given[:, log] <= 0):
        raise ValueError("values on a logarithmic scale must be above 0")
    scaled = given.copy()
    scaled[:, log] = np.log(given[:, log])
    low, spread = scaled.min(axis=0), np.ptp(scaled, axis=0)
    process = fit((scaled - low) / spread, y, seed=seed)
    unit = np.linspace(0.0, 1.0, size)
    grid = np.stack(np.meshgrid(unit, unit), axis=-1).reshape(-1, 2)
    mean, sd = process.predict(grid)
    axes = [low[axis] + unit * spread[axis] for axis in (0, 1)]
    axes = [np.exp(axis) if is_log else axis for axis, is_log in zip(axes, log, strict=True)]
    best = int(np.argmin(mean))
    place = (float(axes[0][best % size]), float(axes[1][best // size]))
    shape = (size, size)
    return Landscape(axes[0], axes[1], mean.reshape(shape), sd.reshape(shape), given, y, place, process.noise)
