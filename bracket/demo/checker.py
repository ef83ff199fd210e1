"""The procedural checker: what a picture of the demo's world really shows.

It is the ground truth that tests and benchmarks hold judges and verdicts against. It never feeds a score: nothing
in the search, the judges or the report may import it (a test holds that).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bracket.demo.shapes import COLOURS, JITTER, RESOLUTION, SHAPES, SIZES, signed_distance

COLOURS_RIGHT = 0.9
"""Share of pixels that must be of one of the two asked colours, for the colours to count as right."""


@dataclass(frozen=True)
class Check:
    """What was seen in one picture, held against what was asked."""

    seen: str
    """The shape whose best template overlaps the foreground most."""
    shape_iou: float
    """Intersection over union of the asked shape's best template with the pixels of the asked colour, 0..1."""
    colour: float
    """Share of pixels nearest to one of the two asked colours, 0..1."""
    edge: float
    """Share of pixels that are close to a pure palette colour: crisp pictures have few in-between ones, 0..1."""
    shape_right: bool
    colours_right: bool

    @property
    def truth(self) -> float:
        """One figure for how well the picture shows what was asked, 0..1."""
        return self.shape_iou * self.colour


def check(image: NDArray[np.uint8], shape: str, colour: str, background: str) -> Check:
    """Hold one uint8 (64, 64, 3) picture against what was asked of it."""
    names = list(COLOURS)
    palette = np.array([COLOURS[n] for n in names], np.float32)
    pixels = np.asarray(image, np.float32).reshape(-1, 3)
    distance = np.sqrt(((pixels[:, None] - palette[None]) ** 2).sum(-1))
    nearest = distance.argmin(1)
    front = (nearest == names.index(colour)).astype(np.float32)
    share = float(np.isin(nearest, [names.index(colour), names.index(background)]).mean())
    templates, labels = _templates()
    overlap = templates @ front
    iou = overlap / np.maximum(templates.sum(1) + front.sum() - overlap, 1)
    best = {s: float(iou[labels == s].max()) for s in SHAPES}
    seen = max(best, key=lambda s: best[s])
    both_present = 0.02 < front.mean() < 0.98
    return Check(
        seen=seen,
        shape_iou=best[shape],
        colour=share,
        edge=float((distance.min(1) < 40).mean()),
        shape_right=seen == shape,
        colours_right=share >= COLOURS_RIGHT and bool(both_present),
    )


@cache
def _templates() -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Masks (T, pixels) of every shape at a grid of radii and places, with their names (T,)."""
    axis = (np.arange(RESOLUTION, dtype=np.float32) + 0.5) / RESOLUTION * 2 - 1
    gx, gy = np.meshgrid(axis, axis)
    low, high = SIZES["small"][0] - 0.04, SIZES["big"][1] + 0.04
    places = np.linspace(-JITTER - 0.06, JITTER + 0.06, 7)
    masks, labels = [], []
    for shape in SHAPES:
        for radius in np.linspace(low, high, 12):
            for x in places:
                for y in places:
                    masks.append((signed_distance(shape, (gx - x) / radius, (gy - y) / radius) < 0).ravel())
                    labels.append(shape)
    return np.array(masks, np.float32), np.array(labels)
